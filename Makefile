# Berth's build. `make help` lists the targets; `make run` is all a new user needs.
#
# Berth's own programs are built from ./cmd/*; their companions (runc, containerd, CNI plugins,
# CRI tools, kubelet) from small Go modules under cmd/companions that pin each by version and hash.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build

GO      ?= go
BIN     := bin
COMP    := cmd/companions
PREFIX  ?= /usr/local
DESTDIR ?=

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: run
run: deps build ## install what is missing, build, run berthd in the foreground
	@exec $(BIN)/berthd

.PHONY: demo
demo: deps build busybox ## run a pod of two containers and show what it does
	@echo "building the demonstration"
	@CGO_ENABLED=0 $(GO) run $(AS_BERTHD) ./test/demo

# ---- Debian packages: what building, running and testing need beyond Go and make ----------------
#
# gcc, libc6-dev, libseccomp-dev, pkg-config: runc.     iptables, nftables: CNI plugins.
# bzip2, xz-utils: the source of the tests' busybox.    iproute2, procps, util-linux: the tests.
# crun: a second OCI runtime, for the tests of runtime handlers. prometheus: for the tests of metrics, make test alone.

DEBS := ca-certificates gcc libc6-dev libseccomp-dev pkg-config iptables nftables \
	bzip2 crun iproute2 mount procps util-linux xz-utils

.PHONY: deps
deps: ## install the Debian packages that are missing
	@missing=(); \
	for p in $(DEBS); do \
		dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -q ^installed || missing+=($$p); \
	done; \
	if (( $${#missing[@]} )); then \
		echo "installing $${missing[*]} (a minute or so; the output goes to build/deps.log)"; mkdir -p build; \
		export DEBIAN_FRONTEND=noninteractive; \
		{ apt-get -q update && apt-get -q -y --no-install-recommends install "$${missing[@]}"; } \
			>build/deps.log 2>&1 || { cat build/deps.log; exit 1; }; \
	fi

# ---- Berth's own programs: always handed to go build, which knows what is stale ----------------

OWN  := berthd berth-shim berth-init
TAGS := osusergo netgo urfave_cli_no_docs

# With CGO_ENABLED=0 and these, tools compile again nothing of what has been compiled for berthd.
AS_BERTHD = -trimpath -tags "$(TAGS)"

.PHONY: build
build: $(OWN) $(BIN)/runc containerd cni critools ## build everything into bin/ (CNI plugins into bin/cni/)

# What is said beside a step that takes long: berthd is the first thing that is built.
FIRST_berthd := , and first its modules; all programs together take 5 to 10 minutes the first time

.PHONY: $(OWN)
$(OWN):
	@mkdir -p $(BIN)
	@echo "building $@$(if $(wildcard $(BIN)/$@),,$(FIRST_$@))"
	@CGO_ENABLED=0 $(GO) build -trimpath -tags "$(TAGS)$(if $(findstring shim,$@), no_grpc)" \
		-ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN)/$@ ./cmd/$@

# ---- Companions: rebuilt only when the module that pins them changes ---------------------------

CONTAINERD := github.com/containerd/containerd/v2
RUNC       := github.com/opencontainers/runc
CNI        := github.com/containernetworking/plugins
CRITOOLS   := sigs.k8s.io/cri-tools
KUBERNETES := k8s.io/kubernetes

CNI_PLUGINS := main/bridge main/dummy main/host-device main/ipvlan main/loopback main/macvlan \
	main/ptp main/tap main/vlan ipam/dhcp ipam/host-local ipam/static meta/bandwidth \
	meta/firewall meta/portmap meta/sbr meta/tuning meta/vrf

CONTAINERD_BINS := $(addprefix $(BIN)/,containerd ctr containerd-shim-runc-v2)
CNI_BINS        := $(addprefix $(BIN)/cni/,$(notdir $(CNI_PLUGINS)))
CRITOOLS_BINS   := $(BIN)/crictl $(BIN)/critest

.PHONY: containerd cni critools
containerd: $(CONTAINERD_BINS)
cni: $(CNI_BINS)
critools: $(CRITOOLS_BINS)

# $(call pinned,MODULE): the version that the module of the first prerequisite pins, e.g. v1.5.2.
pinned = $$($(GO) list -C $(<D) -m -f '{{.Version}}' $(1))

# $(call companion,LDFLAGS[,NAME]): a static program without cgo out of the module of the first prerequisite.
companion = @echo "building $(or $(2),$(@F))"; CGO_ENABLED=0 $(GO) build -C $(<D) -trimpath -ldflags "-s -w $(1)"

# runc needs cgo (its first stage is C) and libseccomp; static, so that an exec costs no dynamic linking.
$(BIN)/runc: $(COMP)/runc/go.mod $(COMP)/runc/go.sum
	@echo "building $(@F)"
	@CGO_ENABLED=1 $(GO) build -C $(<D) -trimpath -buildmode=pie \
		-tags "seccomp urfave_cli_no_docs netgo osusergo" \
		-ldflags "-s -w -linkmode external -extldflags -static-pie" -o $(abspath $@) $(RUNC)

$(CONTAINERD_BINS): $(COMP)/containerd/go.mod $(COMP)/containerd/go.sum
	$(call companion,-X $(CONTAINERD)/version.Version=$(call pinned,$(CONTAINERD)) \
		-X $(CONTAINERD)/version.Package=$(CONTAINERD)) \
		-tags "urfave_cli_no_docs static_build netgo osusergo$(if $(findstring shim,$@), no_grpc)" \
		-o $(abspath $@) $(CONTAINERD)/cmd/$(@F)

# One go build for all plugins: the grouped target (&:) runs once.
$(CNI_BINS) &: $(COMP)/cni/go.mod $(COMP)/cni/go.sum
	@mkdir -p $(BIN)/cni
	$(call companion,-X $(CNI)/pkg/utils/buildversion.BuildVersion=$(call pinned,$(CNI)),CNI plugins) \
		-o $(abspath $(BIN)/cni)/ $(addprefix $(CNI)/plugins/,$(CNI_PLUGINS))

CRITOOLS_LDFLAGS = -X $(CRITOOLS)/pkg/version.Version=$(call pinned,$(CRITOOLS))

$(BIN)/crictl: $(COMP)/critools/go.mod $(COMP)/critools/go.sum
	$(call companion,$(CRITOOLS_LDFLAGS)) -o $(abspath $@) $(CRITOOLS)/cmd/crictl

# The validation suite is a test package: go test builds it.
$(BIN)/critest: $(COMP)/critools/go.mod $(COMP)/critools/go.sum
	@echo "building $(@F)"
	@CGO_ENABLED=0 $(GO) test -C $(<D) -trimpath -ldflags "-s -w $(CRITOOLS_LDFLAGS)" \
		-c -o $(abspath $@) $(CRITOOLS)/cmd/critest

# Not part of build: a second kind of runtime handler, for the test of gVisor (docs/operating.md).
GVISOR      := gvisor.dev/gvisor
GVISOR_BINS := $(BIN)/runsc $(BIN)/containerd-shim-runsc-v1

.PHONY: gvisor
gvisor: $(GVISOR_BINS) ## build gVisor and its shim into bin/ (some minutes)

$(BIN)/runsc: $(COMP)/gvisor/go.mod $(COMP)/gvisor/go.sum
	$(call companion) -o $(abspath $@) $(GVISOR)/runsc

$(BIN)/containerd-shim-runsc-v1: $(COMP)/gvisor/go.mod $(COMP)/gvisor/go.sum
	$(call companion) -o $(abspath $@) $(GVISOR)/shim

# Not part of build: only the end-to-end test wants it. The version is stamped as Kubernetes does.
KUBE_LDFLAGS = -X k8s.io/component-base/version.gitVersion=$(call pinned,$(KUBERNETES)) \
	-X k8s.io/component-base/version.gitMajor=1 \
	-X k8s.io/component-base/version.gitMinor=$(call pinned,$(KUBERNETES) | cut -d. -f2)

$(BIN)/kubelet: $(COMP)/kubelet/go.mod $(COMP)/kubelet/go.sum
	$(call companion,$(KUBE_LDFLAGS)) -o $(abspath $@) $(KUBERNETES)/cmd/kubelet

# ---- Tests --------------------------------------------------------------------------------------

.PHONY: busybox
busybox: build/busybox
build/busybox: test/images/busybox/build.sh
	@echo "building $(@F)"
	@$< $@

# test/summary prints a line per package and failures in full, lists at the end what was skipped,
# and fails when something was that test/summary/skips.txt does not expect. Unit tests run with the
# race detector; the tests of a whole daemon one package after the other, they share the host.
.PHONY: test
test: DEBS += prometheus
test: deps build busybox ## run all tests, the CRI validation suite included
	@mkdir -p build; { rc=0; \
	$(GO) test -race -json -timeout 20m $$($(GO) list ./... | grep -v /test/) || rc=1; \
	CGO_ENABLED=0 $(GO) test $(AS_BERTHD) -json -p 1 -timeout 60m ./test/... || rc=1; \
	exit $$rc; } | tee build/test.json | $(GO) run ./test/summary -skips test/summary/skips.txt

# The crash matrix in full, and the long forms of the other tests of test/faults: an hour or so.
.PHONY: faults
faults: deps build busybox ## break the daemon at every failpoint, and everything around it
	@BERTH_FAULTS=all $(GO) test -count=1 -v -timeout 180m ./test/faults | \
		grep -Ev '^ *(=== |[IWE][0-9]{4} )'

.PHONY: e2e
e2e: deps build busybox $(BIN)/kubelet ## run a real kubelet on Berth (its build takes some 5 minutes)
	@BERTH_E2E=1 $(GO) test -count=1 -v -timeout 30m ./test/e2e

# QEMU emulates the machine: no /dev/kvm. The kernel goes to build/vm, nothing of it is installed.
.PHONY: vm
vm: DEBS += e2fsprogs qemu-system-x86
vm: deps build busybox ## run berthd on cgroup v2 alone, in an emulated machine (some minutes)
	@BERTH_VM=1 $(GO) test -count=1 -v -timeout 30m ./test/vm

# Each fuzz target for FUZZTIME, one after the other, with one worker; a finding ends it, and its input lies where Go
# says. Without a bound on minimizing, Go spends minutes on a large input that is new.
FUZZTIME ?= 1m
.PHONY: fuzz
fuzz: deps ## run every fuzz target for a minute (FUZZTIME=10m: longer)
	@for pkg in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
		targets=$$($(GO) test -list '^Fuzz' "./$$pkg" | grep '^Fuzz'); \
		for target in $$targets; do \
			echo "== $$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x -parallel 1 "./$$pkg"; \
		done; \
	done

# The benchmark brings up Berth and containerd's CRI plugin side by side; docs/performance.md
# tells how to read it. More of its options: go run ./test/bench --help.
.PHONY: bench bench-quick benchbins
bench bench-quick: BEGAN := $(shell date +%s)

bench: benchbins ## measure Berth beside containerd's CRI plugin (15 minutes at most); writes docs/performance.*
	@$(RUN_BENCH) --began $(BEGAN) --json build/bench.json --write-docs docs

bench-quick: benchbins ## the short form: a line for each ratio, with its target (2 minutes, once everything is built)
	@$(RUN_BENCH) --began $(BEGAN) --quick --json build/bench-quick.json

RUN_BENCH = CGO_ENABLED=0 $(GO) run $(AS_BERTHD) -ldflags "-s -w" ./test/bench

# No more than is measured: building counts as part of the time that the benchmark may take.
benchbins: deps $(OWN) $(addprefix $(BIN)/,runc containerd containerd-shim-runc-v2) cni
	@mkdir -p build

.PHONY: lint
lint: ## check formatting and vet
	@bad=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	[[ -z $$bad ]] || { echo "not formatted by gofmt: $$bad"; exit 1; }
	@CGO_ENABLED=0 $(GO) vet $(AS_BERTHD) ./...

# ---- Known vulnerabilities ----------------------------------------------------------------------

VULN := golang.org/x/vuln

$(BIN)/govulncheck: $(COMP)/govulncheck/go.mod $(COMP)/govulncheck/go.sum
	$(call companion) -o $(abspath $@) $(VULN)/cmd/govulncheck

# What make install puts on a node, from source: a directory with a go.mod, the packages there, and whether with cgo.
VULN_OWN  ?= ./cmd/...
VULN_COMP ?= runc containerd cni critools
VULN_runc       := 1 $(RUNC)
VULN_containerd := 0 $(addprefix $(CONTAINERD)/cmd/,containerd ctr containerd-shim-runc-v2)
VULN_cni        := 0 $(addprefix $(CNI)/plugins/,$(CNI_PLUGINS))
VULN_critools   := 0 $(CRITOOLS)/cmd/crictl

# VULNDB is a copy of https://vuln.go.dev, unpacked from its vulndb.zip; without it the database is asked itself.
VULNDB ?=

.PHONY: vulncheck
vulncheck: $(BIN)/govulncheck ## look for known vulnerabilities in what is installed (VULNDB=DIR: offline, with a copied database)
	@$(if $(VULNDB),[[ -e '$(VULNDB)/index/modules.json' ]] || \
		{ echo '$(VULNDB) is no copy of the database: it has no index/modules.json'; exit 1; };) \
	failed=(); \
	check() { \
		echo "== $$1"; \
		CGO_ENABLED=$$2 $(BIN)/govulncheck $(if $(VULNDB),-db 'file://$(abspath $(VULNDB))') \
			-C "$$1" -tags "$(TAGS) seccomp" "$${@:3}" || failed+=("$$1"); \
	}; \
	check . 0 $(VULN_OWN); \
	$(foreach c,$(VULN_COMP),check $(COMP)/$(c) $(VULN_$(c));) \
	(( ! $${#failed[@]} )) || { echo "found something in, or could not look through: $${failed[*]}"; exit 1; }

# ---- Installing ---------------------------------------------------------------------------------

.PHONY: install
install: build ## install below PREFIX (/usr/local) with a systemd unit; DESTDIR is honoured
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/berth/cni \
		$(DESTDIR)/etc/systemd/system
	install $(BIN)/berthd $(BIN)/crictl $(BIN)/ctr $(DESTDIR)$(PREFIX)/bin
	install $(BIN)/berth-shim $(BIN)/berth-init $(BIN)/runc $(BIN)/containerd-shim-runc-v2 \
		$(DESTDIR)$(PREFIX)/libexec/berth
	install $(CNI_BINS) $(DESTDIR)$(PREFIX)/libexec/berth/cni
	sed 's|/usr/local/bin/|$(PREFIX)/bin/|' deploy/berth.service >$(DESTDIR)/etc/systemd/system/berth.service
	[[ -e $(DESTDIR)/etc/crictl.yaml ]] || install -m 644 deploy/crictl.yaml $(DESTDIR)/etc/crictl.yaml

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN) build
