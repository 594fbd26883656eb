//! Where events come from: the sources that are told apart by content, those of the configuration before the bundled ones.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sightline_formats::sources::{SourceMapping, Sources};

use crate::config;

/// What comes with Sightline, in the order in which it is tried: `windows` takes what the three before it leave.
const BUNDLED: [(&str, &str); 11] = [
    ("windows-sysmon.yaml", include_str!("../sources/windows-sysmon.yaml")),
    ("windows-security.yaml", include_str!("../sources/windows-security.yaml")),
    ("windows-powershell.yaml", include_str!("../sources/windows-powershell.yaml")),
    ("windows.yaml", include_str!("../sources/windows.yaml")),
    ("aws-cloudtrail.yaml", include_str!("../sources/aws-cloudtrail.yaml")),
    ("okta-system.yaml", include_str!("../sources/okta-system.yaml")),
    ("google-workspace.yaml", include_str!("../sources/google-workspace.yaml")),
    ("kubernetes-audit.yaml", include_str!("../sources/kubernetes-audit.yaml")),
    ("github-audit.yaml", include_str!("../sources/github-audit.yaml")),
    ("m365-audit.yaml", include_str!("../sources/m365-audit.yaml")),
    ("azure-audit.yaml", include_str!("../sources/azure-audit.yaml")),
];

/// The sources of a configuration's own text, those of files and folders, and the bundled ones after them. One of a bundled one's name takes its place.
///
/// # Errors
/// What is wrong with a file, with its line.
pub fn load(own: Vec<SourceMapping>, paths: &[PathBuf]) -> Result<Vec<SourceMapping>> {
    let mut mappings = own;
    for path in files(paths)? {
        mappings.push(read(&path)?);
    }
    for (name, text) in BUNDLED {
        let bundled = parse(name, text)?;
        if !mappings.iter().any(|known| known.name == bundled.name) {
            mappings.push(bundled);
        }
    }
    // Contradictions are told here, with the configuration, and not by the first event.
    Sources::new(mappings.iter().cloned())?;
    Ok(mappings)
}

/// Reads a file.
///
/// # Errors
/// What is wrong with it, with its line.
pub fn read(path: &Path) -> Result<SourceMapping> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    parse(&path.display().to_string(), &text)
}

fn parse(name: &str, text: &str) -> Result<SourceMapping> {
    Ok(config::part(name, text)?)
}

fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).with_context(|| format!("failed to read {}", path.display()))?;
            let mut below: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            below.retain(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml"));
            below.sort();
            found.extend(below);
        } else if path.exists() {
            found.push(path.clone());
        } else {
            bail!("sources: there is no {}", path.display());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_bundled_sources_do_what_their_tests_say() {
        for (name, text) in BUNDLED {
            let mapping = parse(name, text).unwrap();
            assert!(!mapping.tests.is_empty(), "{name} has no test");
            assert_eq!(mapping.failures().unwrap(), [""; 0], "{name}");
        }
        assert_eq!(load(Vec::new(), &[]).unwrap().len(), BUNDLED.len());
    }

    #[test]
    fn a_source_of_the_user_comes_first_and_its_faults_have_a_line() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("own.yaml"), "name: okta.system\nwhen: [{ eventType: '*' }]\n").unwrap();
        let mappings = load(Vec::new(), &[folder.path().to_owned()]).unwrap();
        assert_eq!((mappings.len(), mappings[0].name.as_str()), (BUNDLED.len(), "okta.system"));
        std::fs::write(folder.path().join("own.yaml"), "name: x\nwhen: [{ a: '*' }]\nfeilds: {}\n").unwrap();
        let error = load(Vec::new(), &[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("own.yaml:3: feilds: unknown key; did you mean `fields`?"), "{error}");
    }
}
