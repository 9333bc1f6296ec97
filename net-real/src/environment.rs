//! The machine that the process runs on, as far as a configuration may ask about it.

use std::path::PathBuf;
use std::{env, fs, io};

use headwater_core::config::Environment;

/// The environment of this process: its variables, its directories, its files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process;

impl Environment for Process {
    fn var(&self, name: &str) -> Option<String> {
        env::var(name).ok()
    }

    fn hostname(&self) -> Option<String> {
        let name =
            fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname"));
        name.ok().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
    }

    fn home(&self) -> String {
        let program = env::current_exe().ok();
        let directory = program.as_deref().and_then(|program| program.parent()).map(PathBuf::from);
        directory.map_or_else(|| self.current_path(), |directory| directory.to_string_lossy().into_owned())
    }

    fn current_path(&self) -> String {
        env::current_dir().unwrap_or_else(|_| PathBuf::from(".")).to_string_lossy().into_owned()
    }

    fn read(&self, path: &str) -> Result<String, String> {
        let length = fs::metadata(path).map_err(say)?.len();
        if length > FILE_BYTES_MAX {
            return Err(format!("it has {length} bytes; a configuration has at most {FILE_BYTES_MAX}"));
        }
        fs::read_to_string(path).map_err(say)
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).map_err(say)? {
            let entry = entry.map_err(say)?;
            // A name that is not UTF-8 cannot be written in a configuration either.
            if let Ok(name) = entry.file_name().into_string()
                && entry.path().is_file()
            {
                names.push(name);
            }
        }
        Ok(names)
    }
}

/// A configuration is text that a person wrote.
const FILE_BYTES_MAX: u64 = headwater_core::limits::CONFIG_FILE_BYTES_MAX as u64;

fn say(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_lists_what_is_there_and_says_what_is_not() {
        let here = env!("CARGO_MANIFEST_DIR");
        assert!(Process.read(&format!("{here}/Cargo.toml")).unwrap().contains("headwater-net-real"));
        assert!(Process.list(here).unwrap().contains(&"Cargo.toml".to_owned()));
        assert!(!Process.list(here).unwrap().contains(&"src".to_owned()), "files only");
        assert_eq!(Process.read("/no/such/file").unwrap_err(), "there is no such file");
        assert!(Process.list("/no/such/directory").is_err());
        assert!(Process.home().starts_with('/'));
    }
}
