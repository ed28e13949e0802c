# `make help` lists the targets. Root is needed for integration, critest, demo and bench; lint and unit do without.
PY := .venv/bin/python
PRIVATE := $(PY) -m tests.harness.private
# Fetches and builds before the tests what they would build unseen: its progress is for whoever waits.
PREPARE := $(PY) -m tests.harness.prepare
SOURCES := api conf host storage oci cni cri tests tools bench
PYTEST_ARGS ?=
# What make bench-compare compares with.
REV ?= HEAD~1
# Of an installation: the Python that it will run on, and its directories.
PYTHON ?= /usr/bin/python3
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
LAYOUT = --prefix '$(PREFIX)' --sysconfdir '$(SYSCONFDIR)' --unitdir '$(UNITDIR)' --destdir '$(DESTDIR)'

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint unit distro-test integration crash-test chaos-test critest conformance
.PHONY: kubelet-test cluster-test bench bench-compare
.PHONY: node-smoke node-test install uninstall deb install-test pins proto clean

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## Install what is missing (Debian packages as root, .venv)
	@tools/setup

demo: ## Run a pod with network on a private daemon and show what happens; root
	@tools/setup demo
	@$(PY) -m tools.demo

test: lint unit integration conformance node-smoke ## All that must pass: what CI runs

lint: setup ## ruff, mypy --strict, import-linter
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet . || { .venv/bin/ruff format --check .; exit 1; }
	@.venv/bin/mypy
	@.venv/bin/mypy -p tools
	@.venv/bin/lint-imports --no-logo

unit: setup ## Tests without root, fuzz targets for some seconds
	@$(PY) -m pytest -q tests/unit tests/fuzz $(PYTEST_ARGS)

distro-test: setup ## The unit tests under the Pythons of Debian 12 and 13, in clean root directories (root): SUITES
	@$(PY) -m tests.harness.distro $(SUITES)

integration: setup ## Tests with real mounts, namespaces, cgroups and runtimes, in private namespaces
	@$(PREPARE) crictl
	@$(PRIVATE) $(PY) -m pytest -q tests/integration $(PYTEST_ARGS)

crash-test: setup ## Kill daemon, monitor and both at every step of every verb and of a start: over fakes, then the real thing; root
	@$(PY) -m tests.crash.matrix
	@$(PRIVATE) $(PY) -m tests.crash.real --successors 60
	@$(PRIVATE) $(PY) -m tests.crash.kills
	@$(PRIVATE) $(PY) -m tests.crash.power

chaos-test: setup ## Kill daemon, monitor or keeper at random under clients that ask for everything: KILLS, SEED, MINUTES; root
	@$(PRIVATE) $(PY) -m tests.chaos.run $(if $(KILLS),--kills $(KILLS)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(SEED),--seed $(SEED)) $(ARGS)

critest: setup ## The suite of cri-tools: FOCUS, SKIP, CONFORMANCE=1, HANDLER=crun|runc|podwright, PARALLEL, ARGS
	@$(PY) -m tests.critest.run

conformance: setup ## Its conformance specs, by crun, by runc and by our own runtime
	@CONFORMANCE=1 HANDLER=crun $(PY) -m tests.critest.run
	@CONFORMANCE=1 HANDLER=runc $(PY) -m tests.critest.run
	@CONFORMANCE=1 HANDLER=podwright $(PY) -m tests.critest.run

runtime-test: setup ## The validation programs of opencontainers/runtime-tools with crun, runc and podwright-oci: ONLY, RUNTIMES; root
	@$(PY) -m tests.runtime_tools.run

kubelet-test: setup ## Pods by a real kubelet, without an API server: HANDLER=crun|runc, PYTEST_ARGS
	@$(PY) -m tests.kubelet.run $(PYTEST_ARGS)

cluster-test: setup ## Workloads on a cluster with the real control plane; not in test, for its long first build: HANDLER=crun|runc
	@$(PY) -m tests.cluster.run $(PYTEST_ARGS)

node-smoke: setup ## A pod on a virtual machine with systemd, cgroup v2, AppArmor and the Debian package; root
	@$(PREPARE) node
	@$(PY) -m pytest -q tests/node/test_smoke.py $(PYTEST_ARGS)

node-test: setup ## All of critest, restarts, reboots, a kubelet on that machine: hours; PYTEST_ARGS
	@$(PREPARE) node
	@$(PY) -m pytest -q tests/node $(PYTEST_ARGS)

bench: setup ## Compare with Debian's containerd, side by side: BENCH_ARGS; root
	@$(PY) -m bench.run $(BENCH_ARGS)

bench-compare: setup ## Compare with another revision of Podwright: REV, BENCH_ARGS; root
	@$(PY) -m bench.run --compare '$(REV)' $(BENCH_ARGS)

install: ## Install: PREFIX, DESTDIR, SYSCONFDIR, UNITDIR, PYTHON; needs pip
	@PYTHON='$(PYTHON)' tools/setup python
	@$(PYTHON) -m tools.packaging.install $(LAYOUT)

uninstall: ## Remove what make install has put there; state and changed configuration stay
	@PYTHON='$(PYTHON)' tools/setup python
	@$(PYTHON) -m tools.packaging.install $(LAYOUT) --remove

deb: ## Build a Debian package into dist/: for this Debian (ARCH=arm64 for another processor), or SUITE=trixie in a chroot (root)
	@$(if $(and $(SUITE),$(ARCH)),echo 'ARCH is for this Debian alone: leave SUITE out' >&2; exit 1)
	@$(if $(SUITE),tools/setup packages,PYTHON='$(PYTHON)' tools/setup packaging)
	@echo 'building the package: a minute or less, more the first time for another SUITE'
	@$(PYTHON) -m tools.packaging.$(if $(SUITE),chroot $(SUITE),deb) dist $(ARCH)

install-test: setup ## Check the Debian package with lintian and systemd, install, remove and purge it in a chroot (root)
	@$(PY) -m pytest -q tests/install $(PYTEST_ARGS)

pins: setup ## Write the hashes of all dependencies again, after a change of constraints.txt (network)
	@$(PY) -m tools.packaging.pins

proto: setup ## Generate the stubs of api/runtime/v1 again
	@$(PY) tools/generate_proto.py

clean: ## Remove what the targets made in the checkout (.venv and build)
	rm -rf .venv build dist
