//! `desk keys`: what a service and its callers need to be tried on this machine, and nothing more.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use serde_json::json;
use ztlib::{Clock as _, SystemClock};

use crate::Ended;
use crate::args::Keys;
use crate::failure::{BROKEN, Failure};
use crate::names;
use crate::new_files::{self, NewFile};
use crate::show::Desk;

/// The folder that a service of `ztlib init` reads its keys from.
pub(crate) const FOLDER: &str = "desk";
/// The file of the key that signs tokens, in that folder.
pub(crate) const TOKEN_KEY: &str = "token-key.json";
/// The `kid` of that key.
pub(crate) const KEY_ID: &str = "desk";
/// How long certificates are good for, and the token key with them: long enough to try a service,
/// too short to be forgotten somewhere.
pub(crate) const DAYS: u64 = 30;

/// So far may the clocks of two machines be apart.
const SKEW: Duration = Duration::from_secs(300);
/// The services that call: each has a certificate, and policies tell them apart.
const CALLERS: [&str; 2] = ["frontend", "batch"];
const README: &str = include_str!("../template/service/desk.md.in");

pub(crate) fn run(args: &Keys, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    names::check(&args.name)?;
    let folder = new_files::empty(&args.folder)?;
    let written = new_files::write_all(&folder, &make(&args.name, SystemClock.now())?)?;
    if desk.json {
        desk.value(&json!({ "name": args.name, "files": written, "days": DAYS }))?;
        return Ok(Ended::Well);
    }
    for file in &written {
        desk.line(file)?;
    }
    desk.line(&format!("for this machine only, and good for {DAYS} days"))?;
    Ok(Ended::Well)
}

/// The keys of the service of this name, made anew: the roots and the key set that it trusts, its
/// own certificate, one for each caller, and the key that signs tokens.
///
/// The root's private key is in none of them, so that nobody can make more certificates of it.
///
/// # Errors
/// `no-keys`: the machine gives no randomness, or the time is past every certificate.
pub(crate) fn make(name: &str, now: SystemTime) -> Result<Vec<NewFile>, Failure> {
    let days = Duration::from_secs(DAYS * 24 * 3600);
    let until = now.checked_add(days).ok_or_else(|| no_keys("this machine's clock is too far ahead"))?;
    let from = now.checked_sub(SKEW).ok_or_else(|| no_keys("this machine's clock is before 1970"))?;
    let authority = Authority::new(name, from, until).map_err(no_keys)?;
    let mut files = vec![
        // It hides itself from git, whatever the project around it says.
        NewFile::new(".gitignore", "*\n"),
        NewFile::new("README.md", README.replace("@NAME@", name).replace("@DAYS@", &DAYS.to_string())),
        NewFile::new("roots.pem", authority.pem.clone()),
    ];
    let local = [SanType::DnsName(ascii("localhost")?), SanType::IpAddress([127, 0, 0, 1].into())];
    let (certificate, key) = authority.issue("localhost", local.into()).map_err(no_keys)?;
    files.push(NewFile::new("server.pem", certificate));
    files.push(NewFile::secret("server.key", key));
    for caller in CALLERS {
        let id = SanType::URI(ascii(&format!("spiffe://{name}.example/{caller}"))?);
        let (certificate, key) = authority.issue(caller, vec![id]).map_err(no_keys)?;
        files.push(NewFile::new(format!("{caller}.pem"), certificate));
        files.push(NewFile::secret(format!("{caller}.key"), key));
    }
    let (set, key) = token_key(name, until)?;
    files.push(NewFile::new("jwks.json", set));
    files.push(NewFile::secret(TOKEN_KEY, key));
    Ok(files)
}

/// A key set (RFC 7517) with a key for ES256, and the file of its private half.
fn token_key(name: &str, until: SystemTime) -> Result<(String, String), Failure> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(no_keys)?;
    // SEC 1 section 2.3.3: the byte 4, then both coordinates.
    let Some((x, y)) = key.public_key_raw().get(1..).and_then(|point| point.split_at_checked(32)) else {
        return Err(no_keys("a point of P-256 has another form"));
    };
    let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
    let set = json!({ "keys": [
        { "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID, "x": x, "y": y },
    ] });
    let until = until.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let key = json!({
        "for": "the desk only",
        "issuer": format!("https://id.{name}.example"),
        "audience": name,
        "until": until,
        "pkcs8": STANDARD.encode(key.serialize_der()),
    });
    Ok((format!("{set:#}\n"), format!("{key:#}\n")))
}

/// An authority that is forgotten when the keys are made.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    from: SystemTime,
    until: SystemTime,
}

impl Authority {
    fn new(name: &str, from: SystemTime, until: SystemTime) -> Result<Self, rcgen::Error> {
        let mut params = params(&format!("{name}: for the desk only"), from, until);
        // No authority below it.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem, from, until })
    }

    /// A certificate with these names, and its key, as PEM.
    fn issue(&self, name: &str, names: Vec<SanType>) -> Result<(String, String), rcgen::Error> {
        let mut params = params(name, self.from, self.until);
        let purpose = match names.first() {
            Some(SanType::URI(_)) => ExtendedKeyUsagePurpose::ClientAuth,
            _ => ExtendedKeyUsagePurpose::ServerAuth,
        };
        params.subject_alt_names = names;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }
}

fn params(name: &str, from: SystemTime, until: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = from.into();
    params.not_after = until.into();
    params
}

fn ascii(text: &str) -> Result<Ia5String, Failure> {
    text.try_into().map_err(no_keys)
}

fn no_keys(why: impl std::fmt::Display) -> Failure {
    Failure::new(BROKEN, "no-keys", format!("no keys could be made: {why}"))
}

/// What to say where keys are not there, or are not good any more.
pub(crate) fn remake(folder: &Path) -> String {
    format!("`rm -r {}; ztlib desk keys NAME` makes them, with the service's name", folder.display())
}
