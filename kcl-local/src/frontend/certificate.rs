//! Creates the certificate of a server with TLS: a certificate authority for one run, and the
//! server certificate that it signs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rcgen::{CidrSubnet, Error, GeneralSubtree, KeyUsagePurpose, NameConstraints};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::clock::Clock;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The names that clients on this machine use.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Returns the TLS acceptor of the server, and the authority in PEM.
pub(crate) fn create(host: &str) -> Result<(TlsAcceptor, String), Box<dyn std::error::Error + Send + Sync>> {
    let mut names: Vec<_> = NAMES.map(str::to_owned).to_vec();
    if !names.iter().any(|name| name == host) {
        names.push(host.to_owned());
    }
    let authority = authority(&names)?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "kcl-local");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    valid_for_a_run(&mut params);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &authority)?;

    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = config()?.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key.into())?;
    // In order of preference: clients that support both use HTTP/2.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), authority.pem()))
}

/// A client may keep trusting the authority after the run, so it is limited to this machine's names
/// and to a month.
fn authority(names: &[String]) -> Result<CertifiedIssuer<'static, KeyPair>, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "kcl-local, made for one run");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let permitted_subtrees = names.iter().map(|name| subtree(name)).collect();
    params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    valid_for_a_run(&mut params);
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn subtree(name: &str) -> GeneralSubtree {
    match name.parse() {
        Ok(IpAddr::V4(address)) => GeneralSubtree::IpAddress(CidrSubnet::V4(address.octets(), [0xff; 4])),
        Ok(IpAddr::V6(address)) => GeneralSubtree::IpAddress(CidrSubnet::V6(address.octets(), [0xff; 16])),
        Err(_) => GeneralSubtree::DnsName(name.to_owned()),
    }
}

/// From a day ago, because clocks differ, for a month.
fn valid_for_a_run(params: &mut CertificateParams) {
    let now = Clock::wall_time().now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + 30 * DAY).into();
}

/// Names the crypto provider, so that the process need not install a default one.
fn config() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, rustls::Error> {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions()
}
