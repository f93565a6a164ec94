//! Tells xtask which machine it runs on: the fuzz target is built for that one, by name, so that its flags do not
//! reach build scripts.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=HOST_TARGET={}", std::env::var("TARGET").unwrap_or_default());
}
