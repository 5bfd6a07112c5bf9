//! The machine of the measurements.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The facts that the figures depend on.
pub(crate) struct Machine {
    pub(crate) folder: PathBuf,
    cores: usize,
    processor: String,
    memory: String,
    kernel: String,
    file_system: String,
    device: String,
}

impl Machine {
    pub(crate) fn look(folder: &Path) -> Machine {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let (device, file_system) = mount(&folder).unwrap_or_default();
        Machine {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: line("/proc/cpuinfo", "model name"),
            memory: line("/proc/meminfo", "MemTotal"),
            kernel: read("/proc/sys/kernel/osrelease"),
            file_system,
            device,
            folder,
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        vec![
            format!("processor    {}, {} cores; memory {}", self.processor, self.cores, self.memory),
            format!("kernel       {}", self.kernel),
            format!("files        {}", self.folder.display()),
            format!("file system  {} on {}", self.file_system, self.device),
        ]
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "cores": self.cores,
            "processor": self.processor,
            "memory": self.memory,
            "kernel": self.kernel,
            "file_system": self.file_system,
            "device": self.device,
            "folder": self.folder,
        })
    }
}

/// The load of the machine in the last minute. Anything much above 1 comes from other programs.
pub(crate) fn load() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|_| "unknown".to_owned()).trim().to_owned()
}

fn line(path: &str, name: &str) -> String {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim()).to_owned()
}

/// The device and the type of the file system of a folder: those of the deepest mount point above
/// it.
fn mount(folder: &Path) -> Option<(String, String)> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mut deepest: Option<(&Path, &str, &str)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (device, point, kind) = (fields.next()?, Path::new(fields.next()?), fields.next()?);
        let deeper = deepest.is_none_or(|(other, _, _)| point.starts_with(other));
        if folder.starts_with(point) && deeper {
            deepest = Some((point, device, kind));
        }
    }
    deepest.map(|(_, device, kind)| (device.to_owned(), kind.to_owned()))
}
