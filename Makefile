# Two commands are enough: `make lab` to read and work, `make test` to see that everything holds.
#
#   make lab ARGS="--no-browser --port 8899"     arguments for JupyterLab
#   make lab PYTHON=python3.12                   the Python that makes the environment
#   make lab VENV=../env                         the environment in another place
#   make lab PIP_ARGS="--extra-index-url URL"    arguments for pip: an index with torch's CPU builds, for example

ARGS ?=
JOBS ?= 2
PIP_ARGS ?=
PYTHON ?=
VENV ?= .venv

BIN := $(VENV)/bin
NOTEBOOK := notebooks/00_start_here.ipynb

# Naming the notebook as an argument would make notebooks/ the root, and the links to the exercises would lead nowhere.
# In a container the user is often root, whom JupyterLab refuses unless told so.
LAB_ARGS := --LabApp.default_url=/lab/tree/$(NOTEBOOK) --log-level=WARN --LanguageServerManager.autodetect=False \
    --KernelManager.transport_encryption=auto $(if $(filter 0,$(shell id -u)),--allow-root)

# The first Python that is new enough and can make environments; one newer than 3.13 only when there is no other,
# because TensorFlow does not come for it yet.
PYTHONS := python3 python3.13 python3.12 python3.11 python3.14 python
define find_python
python=; for below in 14 99; do \
    for candidate in $(or $(PYTHON),$(PYTHONS)); do \
        $$candidate -c "import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, $$below))" \
            2>/dev/null && python=$$candidate && break 2; \
    done; \
done; \
if [ -z "$$python" ]; then \
    echo "quantlab needs Python 3.11 or newer with its modules venv and ensurepip."; \
    echo "Tried without success: $(or $(PYTHON),$(PYTHONS))."; \
    echo "  Debian, Ubuntu:  sudo apt install python3 python3-venv"; \
    echo "  Fedora:          sudo dnf install python3"; \
    echo "  macOS:           brew install python@3.13"; \
    echo "  conda:           conda env create -f environment.yml (then see the first lines of that file)"; \
    echo "Or say where it is: make lab PYTHON=/path/to/python3"; \
    exit 1; \
fi
endef

# An environment that was made with another Python is kept, unless PYTHON asks for one.
EXACT := $(if $(PYTHON),--exact)

.DEFAULT_GOAL := help
.PHONY: help lab test course build check-build release grade feedback test-class site test-site lite test-lite bench pin \
    clean environment environment-with-tests environment-with-site environment-with-lite

help:
	@echo "make lab          open the course in JupyterLab (the first time, install it into $(VENV))"
	@echo "make test         check everything: style, tests, examples in docstrings, the outputs of every notebook"
	@echo "make course       run all lessons in order, as they stand, and store their outputs"
	@echo "make build        write the notebooks from their text forms (make build ARGS=03 for one number)"
	@echo "make check-build  compare the notebooks with their text forms, without running them"
	@echo "make release      enter an assignment into the gradebook: make release ARGS=03 (docs/instructors.md)"
	@echo "make grade        grade class/submitted in a sandbox, write class/grades.csv: make grade ARGS=03"
	@echo "make feedback     write a page for each student: make feedback ARGS=03"
	@echo "make test-class   a class of odd students, and every exercise through the autograder (minutes; bubblewrap)"
	@echo "make site         build the course as web pages into build/site"
	@echo "make test-site    build them, check every page, and open some in a headless Chromium (about 90 seconds)"
	@echo "make lite         build Part I for the browser (JupyterLite) into build/lite (about two minutes)"
	@echo "make test-lite    build it, run every page without what a browser lacks, open it in a headless Chromium"
	@echo "make bench        print the benchmark table"
	@echo "make pin          write constraints.txt from what is installed, after a deliberate upgrade"
	@echo "make clean        remove $(VENV) and caches; your own work in work/ stays"

lab: environment
	@echo "Opening $(NOTEBOOK). To stop JupyterLab, press Ctrl-C here."
	@$(BIN)/jupyter lab $(LAB_ARGS) $(ARGS)

# The speed tests run alone: a ratio measured beside another process says nothing.
test: environment-with-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not speed" $(ARGS)
	$(BIN)/python -m pytest -m speed $(ARGS)
	$(BIN)/python tools/compare.py --jobs $(JOBS)

course: environment
	$(BIN)/python tools/build.py --as-they-stand $(ARGS)

build: environment-with-tests
	$(BIN)/python tools/build.py $(ARGS)

check-build: environment-with-tests
	$(BIN)/python tools/build.py --check $(ARGS)

# Grading, see docs/instructors.md. It refuses to run code of students where bubblewrap is missing.
release grade feedback: environment-with-tests
	@$(BIN)/python tools/grade.py $@ $(ARGS)

test-class: environment-with-tests
	$(BIN)/python -m pytest tests/grading/class_of_students.py tests/grading/every_lesson.py $(ARGS)

site: environment-with-site
	@$(BIN)/python tools/build_site.py $(ARGS)

# Chromium comes from the system's packages. Where it is missing the tests fail and say so; they are never skipped.
test-site: environment-with-site
	$(BIN)/python -m pytest tests/site/pages_of_site.py tests/site/browser_on_site.py tests/site/browser_on_lab.py $(ARGS)

lite: environment-with-lite
	@$(BIN)/python tools/build_lite.py $(ARGS)

# All of Part I is run twice, about two and a half minutes. The kernel itself needs a network, and is not started.
test-lite: environment-with-lite
	$(BIN)/python -m pytest tests/site/lite_in_browser.py $(ARGS)

bench: environment-with-tests
	$(BIN)/python -m benchmarks $(ARGS)

pin: environment-with-tests
	$(BIN)/python tools/pin.py

clean:
	rm -rf $(VENV) .cache .hypothesis .pytest_cache .ruff_cache
	find quantlab tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

environment:
	@$(find_python); $$python tools/install.py $(EXACT) $(VENV) course $(PIP_ARGS)

environment-with-tests:
	@$(find_python); $$python tools/install.py $(EXACT) $(VENV) test $(PIP_ARGS)

environment-with-site:
	@$(find_python); $$python tools/install.py $(EXACT) $(VENV) site $(PIP_ARGS)

environment-with-lite:
	@$(find_python); $$python tools/install.py $(EXACT) $(VENV) lite $(PIP_ARGS)
