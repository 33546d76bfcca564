# make        build usher, static, and check its size
# make help   list the other targets

SHELL   := bash
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null)

# The binary is copied into other images, so it must not grow unnoticed: "make build"
# fails if it is more than 1 % larger than SIZE bytes (amd64), or larger than MAX_SIZE
# bytes. Binaries for other processors are up to 5 % larger; only MAX_SIZE is checked
# for them.
SIZE     := 7430270
MAX_SIZE := 7800000

# The race detector needs cgo, and cgo needs a C compiler.
RACE := $(shell command -v "$$(go env CC)" >/dev/null 2>&1 && [ "$$(go env CGO_ENABLED)" = 1 ] && echo -race)

# Tools are built here, in the versions below, so that no other installed version is used.
TOOLS    := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/usher-tools
LINT_VERSION := v2.15.0
LINT     := $(TOOLS)/golangci-lint-$(LINT_VERSION)
VULN_VERSION := v1.9.0
VULN     := $(TOOLS)/govulncheck-$(VULN_VERSION)

.PHONY: build release image test lives lives-mutants targets targets-mutants faults check fmt vet lint docs herd fuzz vuln bench soak rollout demo clean help FORCE

# The build is reproducible: the same commit gives the same bytes, whatever the directory
# and the time (-trimpath, no build ID, no VCS stamp).
#
# On amd64 and arm64 the entry point is usher's own (-E), see signals/handlers.go. Other
# processors have no such symbol, and use Go's entry point.
entry = $(if $(filter amd64 arm64,$(1)),-E github.com/usher-init/usher/signals.entry)
build = CGO_ENABLED=0 GOOS=linux GOARCH=$(1) GOARM=7 go build -trimpath -buildvcs=false \
	-ldflags '-s -w -buildid= $(call entry,$(1)) -X main.versionTag=$(VERSION) -X main.commit=$(COMMIT)' -o $(2) ./cmd/usher

RELEASED := amd64 arm64 arm 386 ppc64le s390x riscv64
IMAGE    := usher

build: ## build ./usher, static, and check its size
	$(call build,$(shell go env GOARCH),usher)
	@size=$$(wc -c <usher); echo "usher $(VERSION): $$size bytes, SIZE is $(SIZE), at most $(MAX_SIZE)"; \
	if [ "$$size" -gt $(MAX_SIZE) ]; then echo "error: usher is larger than MAX_SIZE" >&2; exit 1; fi; \
	if [ "$$(go env GOARCH)" = amd64 ] && [ "$$size" -gt $$(($(SIZE) + $(SIZE) / 100)) ]; then \
		echo "error: usher has grown by more than 1 %: make it smaller, or set SIZE := $$size in the Makefile" >&2; exit 1; fi

release: $(RELEASED:%=dist/usher-linux-%) ## dist/: a binary for each architecture, the man page, SHA256SUMS
	cp cmd/usher/usher.1 dist/
	cd dist && sha256sum usher* >SHA256SUMS

dist/usher-linux-%: FORCE
	$(call build,$*,$@)

# The image's user has a number and no name, so the image needs no /etc/passwd. This user
# owns /shared: if a named volume is mounted there, Docker gives the volume the same owner.
image: build ## usher's own image, FROM scratch, to copy usher from (IMAGE=name:tag)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && mkdir "$$dir/shared" && cp usher "$$dir" && \
	printf '%s\n' 'FROM scratch' 'COPY usher /usher' 'COPY --chown=65534:65534 shared /shared' \
		'USER 65534:65534' 'ENTRYPOINT ["/usher"]' \
		'LABEL org.opencontainers.image.title=usher org.opencontainers.image.version=$(VERSION)' >"$$dir/Dockerfile" && \
	docker build -q -t $(IMAGE) "$$dir"

FORCE:

test: ## all tests, under the race detector if there is a C compiler
	@$(if $(RACE),,echo "no C compiler: the tests run without the race detector")
	go test $(RACE) -count=1 -timeout 60m ./...
	$(if $(RACE),go test -count=1 -run TestHerd ./probes)
	go test $(RACE) -count=1 -tags purego ./signals # as on processors other than amd64 and arm64

# supervisor/lives_test.go says what a life is. Without SEED each run makes different lives.
N    := 1000000
SEED :=
lives: ## run N=1000000 random lives of the supervisor (SEED=1: the same ones each time)
	LIVES=$(N) SEED=$(SEED) go test -count=1 -timeout 24h -v -run '^TestLives$$' ./supervisor | grep -v '^ *=== '; exit $${PIPESTATUS[0]}

MUTANTS := .
lives-mutants: ## plant the defects of testdata/lives.mutants; random lives must find each (MUTANTS=regexp)
	LIVES_MUTANTS='$(MUTANTS)' go test -count=1 -timeout 3h -v -run '^TestLivesFindMutants$$' ./cmd/usher | grep -v '^ *=== '; exit $${PIPESTATUS[0]}

# probes/targets_test.go says what a trial is. Without SEED each run has other trials.
targets: ## run N=1000000 trials of random targets and servers (SEED=1: the same ones each time)
	TARGETS=$(N) SEED=$(SEED) go test -count=1 -timeout 24h -v -run '^TestTargets$$' ./probes | grep -v '^ *=== '; exit $${PIPESTATUS[0]}

targets-mutants: ## plant the defects of testdata/targets.mutants; random targets must find each (MUTANTS=regexp)
	TARGETS_MUTANTS='$(MUTANTS)' go test -count=1 -timeout 3h -v -run '^TestTargetsFindMutants$$' ./cmd/usher | grep -v '^ *=== '; exit $${PIPESTATUS[0]}

# cmd/usher/faults_test.go says what a fault is.
FAULTS := .
faults: ## make each system call of usher fail, in each phase, with each errno; as root, 10 to 30 minutes (FAULTS=regexp)
	FAULTS='$(FAULTS)' go test -count=1 -timeout 6h -parallel 8 -v -run '^TestFaults$$' ./cmd/usher | grep -v -e '^ *=== ' -e '^ *--- PASS'; exit $${PIPESTATUS[0]}

# go test fuzzes one target at a time. It writes the inputs that fail to testdata/fuzz.
FUZZTIME := 3s
fuzz: ## run each fuzz target for FUZZTIME
	@for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg >fuzz.log 2>&1 || { cat fuzz.log; rm fuzz.log; exit 1; }; \
		done; \
	done; rm -f fuzz.log

# govulncheck needs its database on the network. If it cannot reach the database, nothing is
# checked, and "make vuln" succeeds.
vuln: $(VULN) ## known vulnerabilities in the functions that usher calls
	@$(VULN) ./... >vuln.log 2>&1; code=$$?; cat vuln.log; \
	if grep -q 'fetching vulnerabilities' vuln.log; then echo "vuln: the database cannot be reached: not checked"; code=0; fi; \
	rm -f vuln.log; exit $$code

$(VULN):
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) go install golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION)
	@mv $(TOOLS)/govulncheck $@

check: fmt vet lint build test fuzz vuln ## everything that CI runs (.ci/run installs the packages first)

fmt: ## fail if a file is not formatted by gofmt
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "not formatted (gofmt -w):" $$files >&2; exit 1; fi

vet: ## run go vet, and check that go.mod and go.sum are tidy
	go vet -tags bench ./...
	go mod tidy -diff

docs: ## write the parts of usher(1) and the README that are made from tables; needs mandoc
	go test -count=1 -run '^(TestPagesAreMadeFromTheTables|TestManualListsTheEventsAndFieldsOfTheLog|TestManualForTheWeb)$$' ./cmd/usher -update

herd: ## write probes/herd.md and herd.svg: 10,000 waiters at one dependency, simulated
	go test -count=1 -timeout 60m -run '^TestHerdPageIsUpToDate$$' ./probes -update

lint: $(LINT) ## run the linter; .golangci.yml gives the reason of each rule
	$(LINT) run
	$(LINT) run --build-tags purego ./signals # the files for processors other than amd64 and arm64

$(LINT):
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@mv $(TOOLS)/golangci-lint $@

bench: herd ## make herd, and measure usher beside the other inits that are installed; as root, 3 to 10 minutes
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; go test -tags bench -c -o "$$dir/bench.test" ./cmd/usher && \
	cd cmd/usher && "$$dir/bench.test" -test.run '^TestBench$$' -test.timeout 20m

DURATION := 1h
soak: ## run usher under load for DURATION=1h, and check that nothing grows; as root
	cd cmd/usher && DURATION=$(DURATION) go test -count=1 -timeout 0 -run '^TestSoak$$'

# An interrupted test does not remove its directories. So TMPDIR puts them below $$dir, which
# the shell removes.
rollout: ## measure the requests that fail in rolling updates; as root, 45 minutes; ROLLS=1: 6
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; go test -tags bench -c -o "$$dir/bench.test" ./cmd/usher && \
	cd cmd/usher && TMPDIR=$$dir "$$dir/bench.test" -test.run '^TestRolloutBench$$' -test.timeout 5h

demo: build ## show what usher does, on this terminal
	go run ./examples/demo ./usher

clean: ## remove the built binaries
	rm -rf usher dist

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile
