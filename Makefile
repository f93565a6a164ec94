# Thin over `cargo xtask`: what needs thought is there.
.PHONY: setup build test

setup:
	@sh qemu/setup.sh

build: setup
	@cargo xtask build

test: setup
	@cargo xtask test
