//! Files that are new in a folder that is embedded are noticed.
fn main() {
    println!("cargo::rerun-if-changed=assets");
}
