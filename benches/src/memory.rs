//! Memory of a process, from `/proc`.

/// Resident now, in bytes.
pub fn resident() -> u64 {
    status("VmRSS:")
}

/// The most that was ever resident, in bytes.
pub fn peak() -> u64 {
    status("VmHWM:")
}

fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
