.PHONY: demo test check shell setup setup-tests format clean

demo: setup  ## set everything up and run text, image and sound through every browser
	.venv/bin/webinfer demo
	@echo 'next: source .venv/bin/activate, then `webinfer up` here and `webinfer infer` in a second terminal'

test: setup-tests  ## the whole suite
	cd browser_runtime/page && npm test --silent
	.venv/bin/python -m pytest

check: setup-tests  ## formats, lints, types, import directions
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	cd browser_runtime/page && npm run --silent check

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
