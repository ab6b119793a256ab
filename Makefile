# Berth's build. `make help` lists the targets; `make run` is all a new user needs.
#
# Berth's own programs are built from ./cmd/*; their companions (runc, containerd, CNI plugins,
# CRI tools) from small Go modules under cmd/companions that pin each of them by version and hash.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build

GO      ?= go
BIN     := $(CURDIR)/bin
COMP    := $(CURDIR)/cmd/companions
PREFIX  ?= /usr/local
DESTDIR ?=

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# ---- Berth's own programs: always handed to go build, which knows what is stale ----------------

OWN := berthd berth-shim berth-init

.PHONY: $(OWN)
$(OWN):
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -trimpath -tags "osusergo netgo urfave_cli_no_docs" \
		-ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN)/$@ ./cmd/$@

# ---- Companions: rebuilt only when the module that pins them changes ---------------------------

CONTAINERD := github.com/containerd/containerd/v2
RUNC       := github.com/opencontainers/runc
CNI        := github.com/containernetworking/plugins
CRITOOLS   := sigs.k8s.io/cri-tools

CNI_PLUGINS := main/bridge main/dummy main/host-device main/ipvlan main/loopback main/macvlan \
	main/ptp main/tap main/vlan ipam/dhcp ipam/host-local ipam/static meta/bandwidth \
	meta/firewall meta/portmap meta/sbr meta/tuning meta/vrf

CONTAINERD_BINS := $(addprefix $(BIN)/,containerd ctr containerd-shim-runc-v2)
CNI_BINS        := $(addprefix $(BIN)/cni/,$(notdir $(CNI_PLUGINS)))
CRITOOLS_BINS   := $(BIN)/crictl $(BIN)/critest
COMPANIONS      := $(BIN)/runc $(CONTAINERD_BINS) $(CNI_BINS) $(CRITOOLS_BINS)

# $(call pinned,MODULE): the version the module beside the first prerequisite pins, e.g. v1.5.2.
pinned = $$($(GO) list -C $(dir $<) -m -f '{{.Version}}' $(1))

# runc needs cgo (its nsexec stage is C) and libseccomp; static, so that an exec costs no dynamic linking.
$(BIN)/runc: $(COMP)/runc/go.mod $(COMP)/runc/go.sum
	CGO_ENABLED=1 $(GO) build -C $(<D) -trimpath -buildmode=pie \
		-tags "seccomp urfave_cli_no_docs netgo osusergo" \
		-ldflags "-s -w -linkmode external -extldflags -static-pie" -o $@ $(RUNC)

CONTAINERD_LDFLAGS = -s -w -X $(CONTAINERD)/version.Version=$(call pinned,$(CONTAINERD)) \
	-X $(CONTAINERD)/version.Package=$(CONTAINERD)

$(CONTAINERD_BINS): $(COMP)/containerd/go.mod $(COMP)/containerd/go.sum
	CGO_ENABLED=0 $(GO) build -C $(<D) -trimpath \
		-tags "urfave_cli_no_docs static_build netgo osusergo$(if $(findstring shim,$@), no_grpc)" \
		-ldflags "$(CONTAINERD_LDFLAGS)" -o $@ $(CONTAINERD)/cmd/$(@F)

# One go build for all plugins; the grouped target (&:) runs it once.
$(CNI_BINS) &: $(COMP)/cni/go.mod $(COMP)/cni/go.sum
	mkdir -p $(BIN)/cni
	CGO_ENABLED=0 $(GO) build -C $(<D) -trimpath \
		-ldflags "-s -w -X $(CNI)/pkg/utils/buildversion.BuildVersion=$(call pinned,$(CNI))" \
		-o $(BIN)/cni/ $(addprefix $(CNI)/plugins/,$(CNI_PLUGINS))

CRITOOLS_LDFLAGS = -s -w -X $(CRITOOLS)/pkg/version.Version=$(call pinned,$(CRITOOLS))

$(BIN)/crictl: $(COMP)/critools/go.mod $(COMP)/critools/go.sum
	CGO_ENABLED=0 $(GO) build -C $(<D) -trimpath -ldflags "$(CRITOOLS_LDFLAGS)" -o $@ $(CRITOOLS)/cmd/crictl

$(BIN)/critest: $(COMP)/critools/go.mod $(COMP)/critools/go.sum
	CGO_ENABLED=0 $(GO) test -C $(<D) -trimpath -ldflags "$(CRITOOLS_LDFLAGS)" -c -o $@ $(CRITOOLS)/cmd/critest

.PHONY: companions
companions: $(COMPANIONS)
