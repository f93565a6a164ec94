# Thin over `cargo xtask`: what needs thought is there.
.PHONY: setup build run test bench

setup:
	@sh qemu/setup.sh

build: setup
	@cargo xtask build

run: setup
	@cargo xtask run

test: setup
	@cargo xtask test

bench: setup
	@cargo xtask bench
