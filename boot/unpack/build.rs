//! Link arguments: a flat piece of code that runs wherever it is loaded.

fn main() {
    println!("cargo::rerun-if-changed=unpack.ld");
    println!("cargo::rerun-if-changed=src");
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        // Cortex-A53 erratum 843419, as in the hypervisor's own build.rs.
        println!("cargo::rustc-link-arg-bins=--fix-cortex-a53-843419");
        for arg in ["-pie", "-z", "text", "--no-dynamic-linker", "-Bsymbolic"] {
            println!("cargo::rustc-link-arg-bins={arg}");
        }
        println!("cargo::rustc-link-arg-bins=-T{here}/unpack.ld");
    }
}
