//! A disk for a simulated power cut: an ext4 file system in an image file, behind a loop device.
//!
//! Data that was written and not synced is in the page cache, and not in the image. So a copy of the image has the data
//! that a disk has after a power cut.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// The size of the image, which is a sparse file.
const IMAGE_BYTES: u64 = 6 << 30;
/// How long to wait for a time without writes to the device.
const QUIET_WAIT: Duration = Duration::from_secs(60);
/// How long the file system may stay busy after its users were killed.
const UNMOUNT_WAIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);
const PROGRAMS: [&str; 5] = ["losetup", "mkfs.ext4", "mount", "umount", "cp"];

/// A mounted disk. Dropping it unmounts it; the image stays.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    device: String,
    mount: PathBuf,
}

/// The reason why this machine can't mount such a disk, if there is one.
#[must_use]
pub fn unsupported_reason() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("mounting needs root".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("there are no loop devices (/dev/loop-control)".to_owned());
    }
    let is_missing = |name: &&&str| Command::new(name).arg("--version").output().is_err();
    PROGRAMS
        .iter()
        .find(is_missing)
        .map(|name| format!("{name} is not installed (e2fsprogs, mount, coreutils)"))
}

impl Disk {
    /// Creates an empty disk and mounts it in a new directory.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn make(image: PathBuf, mount: PathBuf) -> anyhow::Result<Self> {
        std::fs::File::create(&image)?.set_len(IMAGE_BYTES)?;
        run("mkfs.ext4", &["-q", "-F", &text(&image)])?;
        Self::attach(image, mount)
    }

    /// Mounts an image; the file system replays its journal.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn attach(image: PathBuf, mount: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&mount)?;
        let device = run("losetup", &["--find", "--show", &text(&image)])?
            .trim()
            .to_owned();
        let disk = Self {
            image,
            device,
            mount,
        };
        // `commit=600`: the journal is committed by syncs and almost never otherwise, so little unsynced data reaches the image.
        run(
            "mount",
            &["-o", "noatime,commit=600", &disk.device, &text(&disk.mount)],
        )?;
        std::fs::set_permissions(&disk.mount, std::fs::Permissions::from_mode(0o755))?;
        Ok(disk)
    }

    #[must_use]
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// Syncs all data to the device.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn sync(&self) -> anyhow::Result<()> {
        run("sync", &["--file-system", &text(&self.mount)]).map(drop)
    }

    /// Copies the image in a time without writes to the device. The caller has frozen all programs that write. The kernel may
    /// still write; then the copy is repeated.
    ///
    /// # Errors
    /// When writes go on until the deadline, or the operating system refuses.
    pub fn copy(&self, to: &Path) -> anyhow::Result<()> {
        let give_up = Instant::now() + QUIET_WAIT;
        loop {
            let before = self.write_counts()?;
            run("cp", &["--sparse=always", &text(&self.image), &text(to)])?;
            if self.write_counts()? == before {
                return Ok(());
            }
            ensure!(
                Instant::now() < give_up,
                "writes to {} go on: no consistent copy",
                self.device
            );
        }
    }

    /// The counts of finished writes and of writes in flight.
    fn write_counts(&self) -> anyhow::Result<[u64; 3]> {
        // Fields of Documentation/block/stat.rst: 4 write I/Os, 6 sectors written, 8 in flight.
        let name = self.device.trim_start_matches("/dev/");
        let path = format!("/sys/block/{name}/stat");
        let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        let fields: Vec<u64> = stat
            .split_whitespace()
            .map_while(|field| field.parse().ok())
            .collect();
        ensure!(fields.len() > 8, "{path}: {stat}");
        Ok([fields[4], fields[6], fields[8]])
    }

    fn unmount(&self) -> anyhow::Result<()> {
        let give_up = Instant::now() + UNMOUNT_WAIT;
        while let Err(error) = run("umount", &[&text(&self.mount)]) {
            if Instant::now() >= give_up {
                return Err(error);
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let removed = self
            .unmount()
            .and_then(|()| run("losetup", &["--detach", &self.device]));
        if let Err(error) = removed {
            println!(
                "{} stays mounted in {}: {error:#}",
                self.device,
                self.mount.display()
            );
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| program.to_owned())?;
    ensure!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
