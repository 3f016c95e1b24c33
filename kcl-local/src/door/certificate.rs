//! The certificate of a server with TLS, made at its start and known to nobody else: an authority of its own, which clients are told
//! to trust, and what it signs for this machine.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rcgen::{Error, KeyUsagePurpose};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{self, ServerConfig};

/// The names by which clients on this machine call it.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What a server needs, and the authority in PEM.
pub(crate) fn make(host: &str) -> Result<(TlsAcceptor, String), Box<dyn std::error::Error + Send + Sync>> {
    let authority = authority()?;
    let mut names: Vec<_> = NAMES.map(str::to_owned).to_vec();
    if !names.iter().any(|name| name == host) {
        names.push(host.to_owned());
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "kcl-local");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &authority)?;

    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = config()?.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key.into())?;
    // Clients that speak both choose HTTP/2.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), authority.pem()))
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "kcl-local, made for one run");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

/// With the provider named, so that none needs to be installed for the process.
fn config() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, rustls::Error> {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions()
}
