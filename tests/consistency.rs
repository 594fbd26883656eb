//! `GET /consistency` of a running service on real servers: it agrees, it names the ranges that somebody changed by hand, and it agrees again once they are mended.
#![allow(clippy::unwrap_used, missing_docs)]
mod cell;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use cell::{Cell, demo, eventually};
use serde_json::Value;
use sightline_connectors::digest::slot_of;

const STORES: [(&str, &str); 3] = [("pg", "postgres"), ("es", "elasticsearch"), ("neo", "neo4j")];

/// Status and body.
fn get(port: u16, path: &str, token: &str) -> Result<(u16, Value), String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).ok_or("no status")?;
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// Waits until all stores agree, and none is behind.
fn agreed(port: u16) -> Value {
    eventually(|| {
        let (status, told) = get(port, "/consistency", "secret")?;
        let up_to_date = |connector: &Value| connector["epoch"] == told["epoch"] && connector["lag"] == 0;
        let all = told["connectors"].as_array().is_some_and(|connectors| connectors.iter().all(up_to_date));
        if told["agrees"] == true && all { Ok(told) } else { Err(format!("{status} {told}")) }
    })
}

/// Type and slot of everything in which a connector differs.
fn differing(connector: &Value) -> BTreeSet<(String, u64)> {
    let types = connector["differing"].as_object().unwrap();
    types.iter().flat_map(|(ty, slots)| slots.as_array().unwrap().iter().map(|slot| (ty.clone(), slot.as_u64().unwrap()))).collect()
}

#[test]
fn a_service_tells_which_ranges_of_which_store_were_changed_by_hand_and_when_all_agree_again() {
    let Some(cell) = Cell::new(&STORES.map(|(_, store)| store)) else { return };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = cell.folder.path().join("cell.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}http: {{ listen: \"127.0.0.1:{port}\", token: secret }}\n")).unwrap();
    let service = cell.run(2);
    cell.process(&[demo("apt1.json"), demo("poisonivy.json")], &[]);
    cell.await_packages(2);
    let told = agreed(port);
    let names: Vec<&str> = told["connectors"].as_array().unwrap().iter().map(|connector| connector["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["pg", "es", "neo"]);
    assert!(told["epoch"].as_u64() > Some(0), "{told}");
    assert_eq!(get(port, "/consistency", "guess").unwrap().0, 401);
    assert_eq!(get(port, "/healthz", "").unwrap().0, 200);
    assert_eq!(get(port, "/readyz", "").unwrap().1["ready"], true);

    for (at, (name, store)) in STORES.into_iter().enumerate() {
        let made = cell.oracle_on("drift.py", store);
        // Type, how, slot.
        let made: BTreeSet<(&str, &str, u64)> = made
            .lines()
            .map(|line| line.splitn(3, ' ').collect::<Vec<_>>())
            .map(|words| (words[0], words[1], u64::from(slot_of(words[2].as_bytes()))))
            .collect();
        let (_, told) = eventually(|| {
            let (status, told) = get(port, "/consistency", "secret")?;
            if told["connectors"][at]["agrees"] == false { Ok((status, told)) } else { Err(told.to_string()) }
        });
        assert_eq!((&told["agrees"], &told["connectors"][at]["name"]), (&Value::from(false), &Value::from(name)));
        let found = differing(&told["connectors"][at]);
        let surely = |(ty, how, _): &&(&str, &str, u64)| match store {
            // A graph cannot tell that a property was changed if the epoch was not, and says so.
            "neo4j" => *how != "different",
            // The invented document stands in the range of the one that it is a copy of.
            "elasticsearch" => (*ty, *how) != ("entities", "extra"),
            _ => true,
        };
        let ranges =
            |made: Vec<&(&str, &str, u64)>| made.into_iter().map(|(ty, _, slot)| ((*ty).to_owned(), *slot)).collect::<BTreeSet<_>>();
        let (expected, all) = (ranges(made.iter().filter(surely).collect()), ranges(made.iter().collect()));
        assert!(found.is_superset(&expected), "{store}: {found:?} without some of {expected:?}");
        let others = found.difference(&all).count();
        assert!(others <= usize::from(store == "elasticsearch"), "{store}: {found:?} has more than {all:?}");
        let unsealed = told["connectors"][at]["unsealed"].as_array().unwrap().contains(&"entities".into());
        assert_eq!(unsealed, store == "neo4j");
    }
    let repaired = cell.verify(None, &["--repair"]);
    assert!(repaired.status.success(), "{}", String::from_utf8_lossy(&repaired.stdout));
    agreed(port);
    cell.process(&[demo("tweetfeed-today.csv")], &["--feed", "tweets"]);
    cell.await_packages(3);
    agreed(port);
    service.terminate();
}
