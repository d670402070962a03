# Two commands do everything on a fresh Debian machine: `make demo` and `make test`.
# Both make .venv and install accel into it; `make test` also installs what the tests need with apt.

VENV    := .venv
PYTHON  := $(VENV)/bin/python
PIP     := $(PYTHON) -m pip --quiet --disable-pip-version-check
# A plain path, not a finder that every start of this Python would have to import; and byte code,
# without which each start compiles all modules again where PYTHONDONTWRITEBYTECODE is set.
INSTALL := $(PIP) install --config-settings editable_mode=compat --editable
COMPILE := $(PYTHON) -m compileall -q accel bpf
SUDO    := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
APT     := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq
# CPython's own test suite is packaged for Debian's default Python.
DEBIAN_PYTHON := $(shell /usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' \
                         2>/dev/null || echo 3.11)
# Programs that nobody here wrote, to be traced; and strace, to compare with.
TEST_PACKAGES := strace gdb gcc gcc-multilib libc6-dev git make tar sqlite3 perl findutils \
                 busybox-static python3 libpython$(DEBIAN_PYTHON)-testsuite procps util-linux \
                 python3-bpfcc linux-headers-amd64 bubblewrap

# Two modules of tests at a time, the slow ones first: 10 minutes instead of 17 on two CPUs.
AT_ONCE := --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test lint packages bench clean

demo: $(VENV)/installed
	@examples/demo.sh $(abspath $(VENV)/bin/accel)

test: packages $(VENV)/test-installed lint
	ACCEL_REQUIRE_ALL=1 $(PYTHON) -m pytest $(AT_ONCE)

lint: $(VENV)/test-installed
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

bench: $(VENV)/installed
	$(PYTHON) -m bench

# python3-venv is apt's; every other Python has venv built in. libseccomp compiles filters.
$(VENV)/installed: pyproject.toml
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { $(APT) update && $(APT) install -y python3-venv; }
	@ldconfig -p | grep -q libseccomp.so.2 || { $(APT) update && $(APT) install -y libseccomp2; }
	python3 -m venv $(VENV)
	$(INSTALL) .
	@$(COMPILE)
	@touch $@

$(VENV)/test-installed: $(VENV)/installed
	$(INSTALL) '.[test]'
	@touch $@

packages:
	@missing=$$(dpkg-query -W -f='$${db:Status-Status} $${Package}\n' $(TEST_PACKAGES) 2>/dev/null \
	    | sed -n 's/^installed //p' | sort > .packages; \
	  printf '%s\n' $(TEST_PACKAGES) | sort | comm -23 - .packages; rm -f .packages); \
	if [ -n "$$missing" ]; then $(APT) update && $(APT) install -y --no-install-recommends $$missing; fi

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
