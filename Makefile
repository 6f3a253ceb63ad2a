# The commands that a person types. The work is in scripts/, which says what is wrong in one line when something is.
.PHONY: install run test check compile prove clean-demo clean

install:          ## .venv with the `gateway` command (wheels only)
	@scripts/bootstrap run

run: install      ## the demo on 127.0.0.1:8080 (data plane) and :8081 (admin, portal)
	@exec .venv/bin/gateway demo

test:             ## every test, with what it needs from apt
	@scripts/bootstrap test
	@scripts/services
	@scripts/test

check:            ## format, lint, types, layers and the quick tests
	@scripts/bootstrap test
	@scripts/check

compile: install  ## the hot modules to machine code, for production (docs/operate.md); needs a C compiler
	@scripts/bootstrap compile
	@.venv/bin/python scripts/compile

prove: install    ## the long proofs; writes docs/proof.md
	@scripts/bootstrap test
	@scripts/services
	@scripts/peers
	@.venv/bin/python scripts/prove

clean-demo:       ## forget the demo: its data, keys and history
	@scripts/clean-demo

clean: clean-demo ## forget the environment and all caches too (your own data/ stays)
	@rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
