//! Rivals: small programs in `peers/`, run on the same input in the same run.
use std::path::Path;
use std::process::Command;

/// Runs `peers/NAME` with the Python that `SIGHTLINE_ORACLE` names (`scripts/oracle` prints it), and returns the numbers of its last line.
pub fn python(name: &str, arguments: &[&str]) -> Vec<f64> {
    let python = std::env::var("SIGHTLINE_ORACLE").expect("export SIGHTLINE_ORACLE=\"$(scripts/oracle)\" first");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name);
    numbers(Command::new(python).arg(program).args(arguments), name)
}

/// The same of a shell script.
pub fn shell(name: &str, arguments: &[&str]) -> Vec<f64> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name);
    numbers(Command::new(program).args(arguments), name)
}

fn numbers(command: &mut Command, name: &str) -> Vec<f64> {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).unwrap();
    text.lines().last().unwrap_or_default().split_whitespace().map(|number| number.parse().unwrap()).collect()
}
