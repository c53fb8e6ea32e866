"""Chat templates as models of several makers write them, and conversations for them."""

from __future__ import annotations

# The forms are those of the models' tokenizer_config.json on the Hub, shortened where they speak of tools.
TEMPLATES = {
    "smollm2": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, "
    "trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama3": "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}",
    "mistral": "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",
    "blocks": """{%- set ns = namespace(found=false) %}
{%- for message in messages %}
    {%- if message.role == "system" %}
        {%- set ns.found = true %}
        {%- continue %}
    {%- endif %}
    {%- generation %}
{{ message.role | upper }}: {{ message.content | tojson }}
    {%- endgeneration %}
{% endfor %}
{%- if ns.found %}(with a system prompt){% endif %}
""",
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
CONVERSATIONS = {
    "one question": [{"role": "user", "content": "What is 7 + 5?"}],
    "with a system prompt": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "  Größe? <b> & 'é' \n"},
    ],
    "three turns": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "{{ 7 * 7 }} {% raw %}"},
    ],
}
