//! Everything the quickstart needs, made on the spot: authorities, certificates, tokens, a folder
//! with the policy set.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use ztlib::authenticate::peer::{PeerAuthenticator, Trust};
use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, TokenAuthenticator, TokenVerifier};
use ztlib::enforce::Guard;
use ztlib::observe::AuditSink;
use ztlib::policies::PolicyStore;
use ztlib::tls::{Acceptor, Server};
use ztlib_testing::{Authority, Issued, TokenIssuer};

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

const ISSUER: &str = "https://id.example";

/// The policies, in the order in which they are asked: name, component, configuration, further
/// settings.
const POLICIES: [(&str, &[u8], &str, &str); 3] = [
    (
        "peers",
        include_bytes!("../../plugins/artifacts/peer-allow-list.wasm"),
        include_str!("policies/peers.yaml"),
        r#"reasons = ["peer-not-allowed"]"#,
    ),
    (
        "rbac",
        include_bytes!("../../plugins/artifacts/rbac.wasm"),
        include_str!("policies/rbac.yaml"),
        r#"reasons = ["no-rule", "no-role"]"#,
    ),
    (
        "step-up",
        include_bytes!("../../plugins/artifacts/step-up.wasm"),
        include_str!("policies/step-up.yaml"),
        "reasons = [\"step-up-required\"]\nmay-abstain = true",
    ),
];

pub struct World {
    pub folder: PathBuf,
    pub mesh: Authority,
    pub stranger: Authority,
    pub tokens: TokenIssuer,
}

impl World {
    pub fn make(folder: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(folder.join("policies"))?;
        let world = Self {
            folder: folder.to_owned(),
            mesh: Authority::new("shop.example mesh"),
            stranger: Authority::new("another mesh"),
            tokens: TokenIssuer::new(ISSUER),
        };
        for (name, component, config, _) in POLICIES {
            fs::write(world.policies().join(format!("{name}.wasm")), component)?;
            fs::write(world.policies().join(format!("{name}.yaml")), config)?;
        }
        world.write_manifest()?;
        Ok(world)
    }

    pub fn policies(&self) -> PathBuf {
        self.folder.join("policies")
    }

    /// The manifest names each component with its digest. It is put in place by a rename, so nobody
    /// reads half of it.
    pub fn write_manifest(&self) -> Result<(), Failure> {
        let mut manifest = String::from("format = 1\n");
        for (name, component, _, settings) in POLICIES {
            let digest: String =
                digest(&SHA256, component).as_ref().iter().map(|b| format!("{b:02x}")).collect();
            manifest.push_str(&format!(
                "\n[[policy]]\nname = \"{name}\"\nmodule = \"{name}.wasm\"\nsha256 = \"{digest}\"\nconfig = \"{name}.yaml\"\n{settings}\n"
            ));
        }
        let next = self.policies().join("policies.toml.next");
        fs::write(&next, manifest)?;
        fs::rename(next, self.policies().join("policies.toml"))?;
        Ok(())
    }

    /// The guard, as a service author builds it.
    pub fn guard(&self, audit: impl AuditSink) -> Result<(Guard, Trust), Failure> {
        let trust = Trust::builder().trust("shop.example".parse()?, [self.mesh.certificate()])?.build()?;
        let issuer = Issuer::new(ISSUER)
            .audience("shop")
            .algorithms([Algorithm::ES256])
            .keys(KeySet::from_jwks(&self.tokens.jwks())?);
        let verifier = TokenVerifier::builder().issuer(issuer).build()?;
        // The set is made here a moment before, so nobody signs it: it is taken unsigned, by a verb.
        let policies =
            PolicyStore::from_manifest(self.policies().join("policies.toml")).allow_unsigned().load()?;
        let guard = Guard::builder()
            .peers(PeerAuthenticator::new(trust.clone()))
            .tokens(TokenAuthenticator::new(verifier))
            .policies(policies)
            .audit(audit)
            .allow_public_route("/healthz")
            .build();
        Ok((guard, trust))
    }

    /// A server for `https://localhost:port` that asks every caller for a certificate.
    pub async fn server(&self, port: u16, trust: &Trust, http2_only: bool) -> Result<Server, Failure> {
        let identity = self.mesh.leaf().dns("localhost").ip([127, 0, 0, 1]).for_servers().issue();
        let mut acceptor = Acceptor::builder().identity(identity.chain(), identity.key())?.peers(trust);
        if http2_only {
            acceptor = acceptor.http2_only();
        }
        Ok(Server::bind(("127.0.0.1", port), acceptor.build()?).await?)
    }

    pub fn service(&self, name: &str) -> Issued {
        self.mesh.issue_spiffe(&format!("spiffe://shop.example/{name}"))
    }

    /// A user's token: subject and roles.
    pub fn token(&self, subject: &str, roles: &[&str]) -> ztlib_testing::TokenDraft<'_> {
        let token =
            self.tokens.token().subject(subject).audience("shop").expires_in(Duration::from_secs(3600));
        token.claim("roles", roles)
    }
}
