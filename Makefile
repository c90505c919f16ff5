# Everything a person or CI runs. The environments are rebuilt only when pyproject.toml or constraints.txt changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BASE_VENV := .venv-base
BASE_BIN := $(BASE_VENV)/bin
STAMP := $(VENV)/.installed
BASE_STAMP := $(BASE_VENV)/.installed
CAMPAIGN_STAMP := $(VENV)/.campaign
WEB_STAMP := web_demo/node_modules/.installed
NANO := build/nano-onnx/manifest.json
PORT ?= 8080
PACKAGES := lira export/lira_export runtime/lira_runtime
CODE := $(PACKAGES) tests benchmarks train.py test_lira.py

.PHONY: demo test test-slow test-base test-android campaign budget budget-tiny lint format bench schema tested baseline clean \
	demo-web web test-web web-serve web-tests

demo: $(STAMP)
	$(BIN)/lira-export --target onnx --config nano --out build/nano-onnx --force
	$(BIN)/lira-generate build/nano-onnx "a panda right of a pizza on a pink background" --seed 7 --out build/panda.png

# Two workers of one thread each: most of the tests' time is Python's own. Folders in their order: those whose tests take longest come first.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow" -n 2 --dist loadscope --no-loadscope-reorder

test-slow: $(STAMP)
	$(BIN)/python -m pytest -q -m slow

# The short set, and the plots in docs/. What is missing is exported first, which takes minutes of its own once.
bench: $(STAMP)
	$(BIN)/python benchmarks/denoiser.py
	$(BIN)/python benchmarks/decoder.py --rounds 2
	$(BIN)/python benchmarks/text_encoder.py
	$(BIN)/python benchmarks/picture.py
	$(BIN)/python benchmarks/op_profile.py --plot docs/profile.png
	$(BIN)/python benchmarks/scaling.py --plot docs/scaling.png

# The runtime with nothing but its own dependencies: no torch, no onnx. The toy bundle is made by the full environment.
test-base: $(STAMP) $(BASE_STAMP)
	$(BASE_BIN)/python -m pytest -q tests/runtime/test_base_only.py
	rm -rf build/toy-bundle
	$(BIN)/python tests/runtime/toy_bundle.py build/toy-bundle
	$(BASE_BIN)/lira-generate build/toy-bundle "a red apple" --out build/toy.png --steps 4

# The Android demo's core and app on the JVM, with Maven Central alone (docs/apps.md). The demo bundle is exported where it is missing.
test-android:
	@if command -v mvn >/dev/null; then $(MAKE) --no-print-directory $(NANO) && mvn -B -q -f android_demo verify; \
	else echo "test-android: mvn is not installed, so the Android demo was not tested"; fi

# Hostile input by the thousand and deaths at every moment (docs/trust.md): an hour or two, and one table. A part of it:
# make campaign CAMPAIGN="--only kills --scale 0.1 --seed 7".
campaign: $(CAMPAIGN_STAMP)
	PYTHONPATH=tests/campaign $(BIN)/python -m campaign $(CAMPAIGN)

# The whole pipeline of small, and of tiny, against budgets.toml; exit code 3 above it.
budget: CONFIG := small
budget-tiny: CONFIG := tiny
budget budget-tiny: $(STAMP)
	$(BIN)/lira-export --target onnx --config $(CONFIG) --out build/$@ --force
	$(BIN)/python -m lira_export.memory.budgets build/$@

lint: $(STAMP)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(PACKAGES)

format: $(STAMP)
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

schema: $(STAMP)
	$(BIN)/python -m lira_runtime.manifest > docs/manifest.schema.json
	$(BIN)/python -m lira_export.schema > docs/events.schema.json

# The versions that the tests run with, which lira-doctor compares an environment with.
tested: $(STAMP)
	mkdir -p build
	$(BIN)/python -m lira_runtime.doctor.tested > build/tested.txt
	mv build/tested.txt runtime/lira_runtime/data/tested.txt

# Ops by kind of the demo model in the three formats, that tests compare with.
baseline: $(STAMP)
	$(BIN)/lira-export --target all --config nano --out build/baseline --force
	$(BIN)/python tests/export/lowering_baseline.py build/baseline/nano-* > tests/export/lowering.json

# The browser demo with the demo bundle, at http://localhost:8080/ (PORT=...). Needs npm.
demo-web web:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory web-serve; \
	else echo "$@: npm is not installed, so the browser demo is not built."; fi

web-serve: $(WEB_STAMP) $(NANO)
	cd web_demo && npm run --silent build && node scripts/serve.mjs ../build/nano-onnx $(PORT)

# Golden vectors and everything else in TypeScript, then the built page in Chromium. Needs npm, and Chromium for the second.
test-web:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory web-tests; \
	else echo "$@: npm is not installed, so the browser demo is not tested."; fi

web-tests: $(WEB_STAMP) $(NANO)
	cd web_demo && npm run --silent check && npm test --silent
	@if test -n "$$CHROMIUM" || command -v chromium >/dev/null || command -v chromium-browser >/dev/null; \
	then cd web_demo && npm run --silent build && npm run --silent e2e; \
	else echo "test-web: Chromium is not installed, so the page is not tried in a browser."; fi

clean:
	rm -rf build $(BASE_VENV)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[train,onnx,coreml,tflite,sign,bench,dev]" -c constraints.txt
	touch $@

$(CAMPAIGN_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[campaign]" -c constraints.txt
	touch $@

$(WEB_STAMP): web_demo/package-lock.json
	cd web_demo && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

# Once, and no environment is asked for where it is there; `make demo` makes it anew.
$(NANO):
	$(MAKE) --no-print-directory $(STAMP)
	$(BIN)/lira-export --target onnx --config nano --out build/nano-onnx --force

$(BASE_STAMP): pyproject.toml constraints.txt
	rm -rf $(BASE_VENV)
	$(PYTHON) -m venv $(BASE_VENV)
	$(BASE_BIN)/python -m pip install --quiet --disable-pip-version-check -e . pytest -c constraints.txt
	touch $@
