//! TLS to the database, with a real one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use confab::core::append::{Change, Decision, Said};
use confab::core::seal::Vault;
use confab::core::store::{Error, Store};
use confab::store::postgres::{Options, Postgres};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::{START, Scene};
use crate::support::postgres::Cluster;

/// What the certificate of the database says that it is.
const NAME: &str = "127.0.0.1";

/// An authority and its certificate in a file.
fn authority(folder: &Path, name: &str) -> (Issuer<'static, KeyPair>, PathBuf) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let file = folder.join(name);
    std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
    (Issuer::new(params, key), file)
}

fn cluster(issuer: &Issuer<'static, KeyPair>) -> Cluster {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![NAME.to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
    let mut cluster = Cluster::start();
    cluster.use_tls(&certificate.pem(), &key.serialize_pem());
    cluster.create_database("confab");
    cluster
}

async fn open(url: &str, ca_file: &Path) -> Result<Postgres, Error> {
    Postgres::open(Options::parse(url, None, Some(ca_file), 2, 2).unwrap(), Vault::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_whom_its_authority_vouches_for_and_nothing_is_said_in_clear() {
    let folder = TempDir::new().unwrap();
    let ((issuer, good), (_, other)) = (authority(folder.path(), "good.pem"), authority(folder.path(), "other.pem"));
    let cluster = tokio::task::spawn_blocking(move || cluster(&issuer)).await.unwrap();
    let url = cluster.url_by(NAME, "confab");
    for (url, ca_file) in [(&url, &other), (&cluster.url_by("localhost", "confab"), &good)] {
        let refused = open(url, ca_file).await.err().map(|error| error.to_string());
        assert!(refused.is_some_and(|text| !text.is_empty()), "{url} by {}", ca_file.display());
    }
    let store = Arc::new(open(&url, &good).await.unwrap());
    let scene = Scene { store: store.clone(), count: Arc::default() };
    let alice = scene.user("alice").await;
    let room = scene.room(alice.id, "hall").await;
    let said = vec![scene.item(room, alice.id, Change::Message(Said::default()))];
    let decided = store.append(said, START).await.unwrap();
    assert!(matches!(decided[0].decision, Decision::Append { .. }));
    const SESSIONS: &str = "SELECT count(*) FILTER (WHERE ssl) > 0, count(*) FILTER (WHERE NOT ssl) FROM pg_stat_ssl
         JOIN pg_stat_activity USING (pid) WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let sessions = tokio::task::spawn_blocking(move || cluster.sql("confab", SESSIONS)).await.unwrap();
    assert_eq!(sessions, "t|0", "some over TLS, none without");
}
