#![allow(clippy::unwrap_used)]
use std::io::{Read as _, Write as _};
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use timely::communication::allocator::zero_copy::stream::Stream as _;

use super::*;
use crate::cluster::TlsFiles;

fn identity(fingerprint: &str) -> Identity {
    Identity { cell: "soc".into(), fingerprint: fingerprint.into(), processes: 2, workers: 1 }
}

fn options(process: usize, port: u16, secret: &str, tls: Option<TlsFiles>) -> ClusterOptions {
    let addresses = vec![format!("127.0.0.1:{port}"), "127.0.0.1:0".to_owned()];
    ClusterOptions { process, addresses, secret: secret.into(), tls, insecure: false }
}

type Met = (io::Result<Admitted>, Result<Channel, ClusterError>);

/// What process 0 makes of a process 1, and what that one hears.
fn meet_as(zero: &ClusterOptions, one: &ClusterOptions, fingerprint: &str) -> Met {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut zero, mut one, fingerprint) = (zero.clone(), one.clone(), fingerprint.to_owned());
    for options in [&mut zero, &mut one] {
        options.addresses[0] = listener.local_addr().unwrap().to_string();
    }
    let stranger = std::thread::spawn(move || own(&one, &identity(&fingerprint)).connect(0, Purpose::Data));
    let admitted = own(&zero, &identity("a")).admit(listener.accept().unwrap().0);
    (admitted, stranger.join().unwrap())
}

fn own<'a>(options: &'a ClusterOptions, identity: &'a Identity) -> Own<'a> {
    Own { options, identity, life: [7; 32], tls: options.tls.as_ref().map(|files| Tls::read(files).unwrap()) }
}

fn meet(secret: &str, fingerprint: &str) -> Met {
    meet_as(&options(0, 0, "open sesame", None), &options(1, 0, secret, None), fingerprint)
}

#[test]
fn those_of_the_same_cell_find_each_other() {
    let (admitted, heard) = meet("open sesame", "a");
    let admitted = admitted.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((admitted.process, admitted.purpose), (1, Purpose::Data));
    assert!(heard.is_ok());
}

#[test]
fn whoever_lacks_the_secret_or_differs_is_refused_and_told_why() {
    for (secret, fingerprint, why) in [("guess", "a", "secret"), ("open sesame", "b", "same version")] {
        let (admitted, heard) = meet(secret, fingerprint);
        assert!(admitted.err().unwrap().to_string().contains(why));
        assert!(heard.err().unwrap().to_string().contains(why));
    }
}

#[test]
fn addresses_of_other_machines_need_a_secret_and_tls() {
    let mut far = options(0, 1, "", None);
    far.check().unwrap();
    far.addresses[1] = "192.0.2.1:2101".into();
    assert!(far.check().unwrap_err().to_string().contains("cluster.secret"));
    far.secret = "x".into();
    assert!(far.check().unwrap_err().to_string().contains("give `cluster.tls`"));
    far.insecure = true;
    far.check().unwrap();
    (far.insecure, far.tls) = (false, Some(TlsFiles { cert_file: "c".into(), key_file: "k".into(), ca_file: "a".into() }));
    far.check().unwrap();
    far.process = 2;
    assert!(far.check().is_err());
}

/// An authority and a certificate of it, as files.
fn certificate(folder: &Path, name: &str) -> TlsFiles {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (authority, key) = (CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(), KeyPair::generate().unwrap());
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let write = |what: &str, pem: String| {
        let path = folder.join(format!("{name}-{what}.pem"));
        std::fs::write(&path, pem).unwrap();
        path
    };
    TlsFiles {
        cert_file: write("cert", certificate.pem()),
        key_file: write("key", key.serialize_pem()),
        ca_file: write("ca", authority.pem()),
    }
}

#[test]
fn within_tls_both_directions_carry_more_than_any_buffer_at_the_same_time_and_end_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(folder.path(), "cell");
    let with_tls = |process| options(process, 0, "open sesame", Some(files.clone()));
    let (admitted, heard) = meet_as(&with_tls(0), &with_tls(1), "a");
    let ends = [admitted.unwrap_or_else(|error| panic!("{error}")).stream, heard.unwrap_or_else(|error| panic!("{error}"))];
    // Neither reads before it has written more than sockets hold.
    let sent: Vec<u8> = (0..20_000_000_u32).map(|number| (number % 251) as u8).collect();
    std::thread::scope(|scope| {
        for mut reader in ends {
            let (mut writer, sent) = (reader.try_clone().unwrap(), &sent);
            scope.spawn(move || {
                writer.write_all(sent).unwrap();
                writer.shutdown(std::net::Shutdown::Write).unwrap();
            });
            scope.spawn(move || {
                let mut received = Vec::new();
                reader.read_to_end(&mut received).unwrap();
                assert!(received == *sent, "{} bytes came of {}", received.len(), sent.len());
            });
        }
    });
}

#[test]
fn a_connection_that_breaks_within_tls_is_no_clean_end() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(folder.path(), "cell");
    let with_tls = |process| options(process, 0, "open sesame", Some(files.clone()));
    let (admitted, heard) = meet_as(&with_tls(0), &with_tls(1), "a");
    drop(admitted);
    let broken = heard.unwrap_or_else(|error| panic!("{error}")).read(&mut [0]).unwrap_err();
    assert_eq!(broken.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_certificate_of_another_authority_is_refused_by_whichever_side_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let (cell, stranger) = (certificate(folder.path(), "cell"), certificate(folder.path(), "stranger"));
    let with = |process, files: &TlsFiles| options(process, 0, "open sesame", Some(files.clone()));
    let trusts_both = TlsFiles { ca_file: cell.ca_file.clone(), ..stranger.clone() };
    for (zero, one) in [(&cell, &stranger), (&cell, &trusts_both), (&trusts_both, &cell)] {
        let (admitted, heard) = meet_as(&with(0, zero), &with(1, one), "a");
        assert!(admitted.is_err());
        let told = heard.err().unwrap().to_string();
        assert!(told.contains("`cluster.tls`"), "{told}");
    }
}

#[test]
fn whoever_speaks_plainly_is_not_admitted_within_tls() {
    let folder = tempfile::tempdir().unwrap();
    let zero = options(0, 0, "open sesame", Some(certificate(folder.path(), "cell")));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut plain = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    control::write(&mut plain, &"hello").unwrap();
    assert!(own(&zero, &identity("a")).admit(listener.accept().unwrap().0).is_err());
}

#[test]
fn a_file_that_is_no_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(folder.path(), "cell");
    let other = certificate(folder.path(), "other");
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    let wrong = [
        TlsFiles { ca_file: folder.path().join("empty.pem"), ..files.clone() },
        TlsFiles { cert_file: folder.path().join("missing.pem"), ..files.clone() },
        TlsFiles { key_file: other.key_file, ..files.clone() },
    ];
    for (files, named) in wrong.iter().zip(["empty.pem", "missing.pem", "cell-cert.pem"]) {
        let told = Tls::read(files).err().unwrap().to_string();
        assert!(told.contains(named), "{told}");
    }
}
