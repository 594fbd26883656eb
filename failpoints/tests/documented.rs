//! The page for users names every failpoint and every control.
use sightline_failpoints::{Control, Point};

const PAGE: &str = include_str!("../../docs/guarantees.md");

#[test]
fn every_failpoint_and_control_is_documented_as_it_is() {
    for point in Point::ALL {
        let row = format!("| `{}` | {} |", point.name(), point.what());
        assert!(PAGE.contains(&row), "docs/guarantees.md lacks: {row}");
    }
    for control in Control::ALL {
        assert!(PAGE.contains(&format!("| `{}` |", control.name())), "docs/guarantees.md lacks {}", control.name());
    }
}

#[test]
fn names_are_unique() {
    for (at, point) in Point::ALL.iter().enumerate() {
        assert_eq!(Point::named(point.name()), Some(*point));
        assert!(Point::ALL[..at].iter().all(|other| other.name() != point.name()), "{} twice", point.name());
    }
}
