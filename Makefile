PYTHON ?= python3
BIN := .venv/bin
NATIVE := $(addprefix torchresample/native/,*.cpp *.h build.py)

.PHONY: quickstart test lint pillow12 tables bench clean

# Installs anew when the project's requirements or its C++ files change. Compiling all of torch's
# dependencies to bytecode takes longer than downloading them; what is imported is compiled then.
.venv/%: pyproject.toml constraints.txt $(wildcard $(NATIVE))
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[$*]'
	touch $@

# On the images of a folder: make quickstart DATA=folder WEIGHTS=ResNet18_Weights.IMAGENET1K_V1
quickstart: .venv/studies
	$(BIN)/python -m studies quickstart $(if $(DATA),--data '$(DATA)') $(if $(WEIGHTS),--weights '$(WEIGHTS)')

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

# Tests that start a cluster or several processes have both cores to themselves.
ALONE := tests/test_cluster.py tests/test_torchrun.py

test: lint
	$(BIN)/python -m pytest -n 2 $(addprefix --ignore=,$(ALONE))
	$(BIN)/python -m pytest $(ALONE)
	TRITON_INTERPRET=1 $(BIN)/python -m pytest -n 2 tests/interpreted

# The "pillow12" profile against the real Pillow 12, in an environment of its own.
pillow12: .venv/dev
	rm -rf .venv/pillow12-site
	$(BIN)/python -m pip install --quiet --no-deps --target .venv/pillow12-site 'pillow==12.*'
	PYTHONPATH=.venv/pillow12-site $(BIN)/python -m pytest -n 2 tests/test_pixels.py -k 'pillow or ratio'

# The tables of README, from the committed CSV files.
tables: .venv/dev
	$(BIN)/python -m studies tables

bench: .venv/dev
	$(BIN)/python -m studies speed

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache
