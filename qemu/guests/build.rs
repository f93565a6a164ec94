//! Link arguments of every domU: position independent, nothing left for a dynamic linker, laid out by the runtime's
//! script.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        for arg in
            ["-pie", "-z", "text", "--no-dynamic-linker", "-Bsymbolic", "--hash-style=gnu", "-Tguest.ld"]
        {
            println!("cargo::rustc-link-arg-bins={arg}");
        }
    }
}
