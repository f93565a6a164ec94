//! Lets every crate that depends on this one say `-Tguest.ld`.

fn main() {
    println!("cargo::rerun-if-changed=guest.ld");
    println!("cargo::rerun-if-changed=src/start.S");
    println!("cargo::rerun-if-changed=src/vectors.S");
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-search=native={here}");
}
