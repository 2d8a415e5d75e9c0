//! A disk of one's own: an ext4 file system in an image file, behind a loop device, which can be copied as it is at one
//! moment.
//!
//! What programs wrote and nobody synced lies in the page cache above the file system, and so not in the image. A copy of
//! the image is what a disk has when the power fails.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// The size of the image; it takes only the space that is written to.
const IMAGE_BYTES: u64 = 6 << 30;
/// How long to wait for a moment in which nothing reaches the device.
const QUIET_WAIT: Duration = Duration::from_secs(60);
/// How long a file system may stay busy after its users were killed.
const UNMOUNT_WAIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);
const PROGRAMS: [&str; 5] = ["losetup", "mkfs.ext4", "mount", "umount", "cp"];

/// A mounted disk. Dropping it takes it away again; the image stays.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    device: String,
    mount: PathBuf,
}

/// What this machine lacks for a disk of one's own, if anything.
#[must_use]
pub fn lacks() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("it mounts file systems, so it has to run as root".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("this machine has no loop devices (/dev/loop-control)".to_owned());
    }
    let is_missing = |name: &&&str| Command::new(name).arg("--version").output().is_err();
    PROGRAMS
        .iter()
        .find(is_missing)
        .map(|name| format!("{name} is not installed (e2fsprogs, mount, coreutils)"))
}

impl Disk {
    /// A new and empty one, mounted in a directory that is made.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn make(image: PathBuf, mount: PathBuf) -> anyhow::Result<Self> {
        std::fs::File::create(&image)?.set_len(IMAGE_BYTES)?;
        run("mkfs.ext4", &["-q", "-F", &text(&image)])?;
        Self::attach(image, mount)
    }

    /// Mounts an image; what its journal has is done.
    ///
    /// # Errors
    /// When the system refuses.
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
        // The journal is committed when somebody syncs, and else as good as never: as little as possible is there by chance.
        run(
            "mount",
            &["-o", "noatime,commit=600", &disk.device, &text(&disk.mount)],
        )?;
        std::fs::set_permissions(&disk.mount, std::fs::Permissions::from_mode(0o755))?;
        Ok(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// Brings everything that was written so far to the device.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn sync(&self) -> anyhow::Result<()> {
        run("sync", &["--file-system", &text(&self.mount)]).map(drop)
    }

    /// Copies the image as it is at one moment: nothing has reached the device while it was copied. Whoever writes to it
    /// has to have been stopped; the system may still write by itself, and then the copy is made again.
    ///
    /// # Errors
    /// When the device is never quiet, or the system refuses.
    pub fn copy(&self, to: &Path) -> anyhow::Result<()> {
        let give_up = Instant::now() + QUIET_WAIT;
        loop {
            let before = self.written()?;
            run("cp", &["--sparse=always", &text(&self.image), &text(to)])?;
            if self.written()? == before {
                return Ok(());
            }
            ensure!(Instant::now() < give_up, "{} is never quiet", self.device);
        }
    }

    /// The writes that the device has seen, and how many are on their way.
    fn written(&self) -> anyhow::Result<[u64; 3]> {
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
        let gone = self
            .unmount()
            .and_then(|()| run("losetup", &["--detach", &self.device]));
        if let Err(error) = gone {
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
