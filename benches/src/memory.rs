//! Memory and processor time of this process, from `/proc`.

/// Resident now, in bytes.
pub fn resident() -> u64 {
    status("VmRSS:")
}

/// The most that was ever resident, in bytes.
pub fn peak() -> u64 {
    status("VmHWM:")
}

/// Seconds of processor time of this process, of all its threads.
pub fn processor_seconds() -> f64 {
    processor_seconds_of(std::process::id())
}

/// The same of another process.
pub fn processor_seconds_of(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // Behind the name, which may hold anything; in ticks of 10 ms.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
