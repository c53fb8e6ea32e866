.PHONY: demo test check docs shell setup setup-tests format clean

demo: setup  ## set everything up and run text, image and sound through every browser
	.venv/bin/webinfer demo
	@echo 'next: source .venv/bin/activate, then `webinfer up` here and `webinfer infer` in a second terminal'

test: setup-tests  ## the whole suite
	cd browser_runtime/page && npm test --silent
	.venv/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: setup-tests  ## formats, lints, types, import directions, documentation
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	cd browser_runtime/page && npm run --silent check
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs --quiet build --strict

docs: setup-tests  ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs --quiet build --strict
	@echo build/site/index.html

shell: setup  ## a shell in which `webinfer` and `celery` are found
	@. .venv/bin/activate && exec "$${SHELL:-/bin/bash}"

format:
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix-only .
	cd browser_runtime/page && npx biome check --write .

setup:
	@scripts/setup

setup-tests:
	@scripts/setup --tests

clean:  ## remove everything that set-up made in this checkout
	rm -rf .venv browser_runtime/page/node_modules browser_runtime/page/vendor .pytest_cache .mypy_cache .ruff_cache
