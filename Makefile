# Peregrine: make help lists the targets.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X github.com/peregrine-sec/peregrine/internal/version.version=$(VERSION)
SUDO    := $(if $(filter 0,$(shell id -u)),,sudo)

export GOFLAGS := -buildvcs=false

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/peregrine, one static binary; needs Go and nothing else
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/peregrine ./cmd/peregrine

.PHONY: image
image: build ## dist/peregrine.oci.tar, a container image, made without a daemon
	mkdir -p dist
	$(GO) run ./deploy/mkimage -tag localhost/peregrine:$(VERSION) -o dist/peregrine.oci.tar bin/peregrine

.PHONY: release
release: image ## dist/: archive, Debian and RPM packages, image, chart, bill of materials, checksums
	rm -f dist/peregrine[_-]*
	deploy/debian/build.sh $(VERSION) bin/peregrine dist
	deploy/rpm/build.sh dist/peregrine_*.deb dist
	tar --sort=name --owner=0 --group=0 --numeric-owner -czf dist/peregrine-linux-$$($(GO) env GOARCH).tar.gz -C bin peregrine -C .. LICENSE README.md rules
	tar --sort=name --owner=0 --group=0 --numeric-owner -czhf dist/peregrine-chart.tgz -C deploy/helm peregrine
	tar --sort=name --owner=0 --group=0 --numeric-owner -czf dist/peregrine-capacity-chart.tgz -C deploy/helm peregrine-capacity
	$(GO) tool cyclonedx-gomod bin -json -version $(VERSION) -output dist/peregrine.cdx.json bin/peregrine
	cd dist && sha256sum peregrine* > SHA256SUMS

.PHONY: test
test: build ## all tests; as root also those on the real kernel
	@# One package at a time: they share one kernel, whose probes see them all.
	@# Never from the cache: the kernel and the host are inputs that Go does not see.
	$(GO) test -count 1 -p 1 -timeout 20m ./...
	$(GO) test -count 1 -tags pausable -run TestPause ./internal/sensor/probe

.PHONY: kernels
kernels: ## tests on Debian's kernels, in emulated machines; needs qemu-system-x86 or -arm
	$(GO) run ./test/kernels $(KERNELS)

.PHONY: kubernetes
kubernetes: ## what a Kubernetes for the tests is made of; minutes, once
	$(GO) run ./test/kubernetes/cluster build

# The packages where something runs beside something else: in the others, which
# are more than half, the race detector has nothing to find.
CONCURRENT = $(shell grep -lrE -e '^\s*go [a-z]' -e '"sync"|"sync/atomic"|errgroup' -e '\.Go.func' --include='*.go' internal test/support | xargs -n1 dirname | sort -u | sed 's|^|./|')

.PHONY: race
race: ## tests of what is concurrent under the race detector, without the long ones
	CGO_ENABLED=1 $(GO) test -count 1 -race -short -timeout 30m $(CONCURRENT)

.PHONY: invariants
invariants: ## the sensor's tests with borrowed events and alerts overwritten when their time is over
	$(GO) test -count 1 -p 1 -short -timeout 20m -tags invariants ./internal/sensor/...

# Linters have a module of their own: what they need is not what the binary needs.
LINT := $(GO) tool -modfile=.ci/lint/go.mod

.PHONY: lint
lint: ## gofmt, vet, staticcheck, errcheck, unparam, gocritic, misspell
	@test -z "$$(gofmt -l cmd internal rules test deploy tools)" || { gofmt -l cmd internal rules test deploy tools; echo 'run gofmt -w on these'; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags pausable,invariants ./internal/sensor/...
	$(GO) tool staticcheck ./...
	$(LINT) errcheck -ignoretests -exclude .ci/lint/errcheck.txt ./...
	$(LINT) unparam ./...
	$(LINT) gocritic check -disable appendAssign,mapKey ./...
	$(LINT) misspell -error $$(git ls-files '*.go' '*.md' '*.yaml' '*.c' '*.h')

.PHONY: generate
generate: ## everything that is generated and committed; needs clang-19 and llvm-19
	$(GO) generate ./...

.PHONY: generated
generated: generate ## fail if what is committed is not what would be generated
	git diff --exit-code --stat -- . ':!go.sum'

.PHONY: bench
bench: ## benchmarks, for benchstat
	$(GO) test -run '^$$' -bench . -benchmem -count $(or $(COUNT),6) ./... | tee bin/bench.txt

.PHONY: capacity
capacity: build ## the main job: the capacity table of this machine, and its report
	$(SUDO) bin/peregrine capacity run

.PHONY: agree
agree: build ## two capacity runs, compared: do its figures repeat here? Nine minutes; as root
	@rm -rf bin/agree && mkdir -p bin/agree
	for run in a b; do $(SUDO) bin/peregrine capacity run --quick --precision 0.05 --confirm 20s --cpu 0.25,0.5,1 --max-duration 4m --out bin/agree/$$run || test $$? = 4 || exit 1; done
	bin/peregrine capacity compare bin/agree/a bin/agree/b

.PHONY: fuzz
fuzz: ## every fuzz target for a short while
	@for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(or $(FUZZTIME),10s) -fuzzminimizetime 10x $$pkg || exit 1; \
	  done; done

.PHONY: soak
soak: build ## a day of faults: the sensor under load while everything fails; as root
	$(GO) run ./test/soak -for $(or $(FOR),1h) $(if $(SEED),-seed $(SEED))

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
