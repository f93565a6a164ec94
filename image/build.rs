//! Link arguments of the bare-metal image. They are here and not in `.cargo/config.toml` because a RUSTFLAGS
//! environment variable would replace those without a word.

fn main() {
    println!("cargo::rerun-if-changed=../linker.ld");
    println!("cargo::rerun-if-changed=../boot");
    let bare_metal = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none");
    if !bare_metal {
        return;
    }
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    // Cortex-A53 erratum 843419: an ADRP at the end of a page may yield a wrong address; the linker moves what would meet
    // it. (The one that code generation must avoid, 835769, is seen to by `cargo xtask build`.)
    println!("cargo::rustc-link-arg-bins=--fix-cortex-a53-843419");
    // Position independent, with nothing left for a dynamic linker: boot/head.S applies the packed relative
    // relocations itself, and `-z text` refuses any relocation that would have to patch code.
    for arg in [
        "-pie",
        "-z",
        "text",
        "--pack-dyn-relocs=relr",
        "--no-dynamic-linker",
        "-Bsymbolic",
        "--hash-style=gnu",
    ] {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
    // Functions that came out the same are kept once, and strings that end another one inside it.
    for arg in ["--icf=all", "-O2"] {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
    println!("cargo::rustc-link-arg-bins=-T{root}/../linker.ld");
}
