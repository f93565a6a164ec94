//! Link arguments: a flat piece of code that runs wherever it is loaded.

fn main() {
    println!("cargo::rerun-if-changed=el3.ld");
    println!("cargo::rerun-if-changed=src/el3.S");
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        for arg in ["-pie", "-z", "text", "--no-dynamic-linker", "-Bsymbolic"] {
            println!("cargo::rustc-link-arg-bins={arg}");
        }
        println!("cargo::rustc-link-arg-bins=-T{here}/el3.ld");
    }
}
