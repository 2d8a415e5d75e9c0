//! Memory in small pages: connections are many small things, and a huge page (2 MiB) is kept whole for the little that is
//! left in it. With 10,000 connections an ingress has about 200 MiB in small pages, and 290 in huge ones.

/// Asks for small pages from now on, where the system can be asked.
pub fn ask() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        tracing::warn!(%error, "huge pages could not be turned off; the ingress may take more memory");
    }
}
