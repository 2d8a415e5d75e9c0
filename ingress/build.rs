//! Rebuilds the crate when a file in the embedded folder is added or changed.
fn main() {
    println!("cargo::rerun-if-changed=assets");
}
