//! The people of the scenarios made on the spot: authorities, certificates, issuers, tokens, and
//! guards that know them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ztlib::authenticate::peer::{PeerAuthenticator, Trust};
use ztlib::authenticate::token::{Algorithm, Issuer, KeySet, TokenAuthenticator, TokenVerifier};
use ztlib::enforce::{Guard, PathSpelling};
use ztlib::policies::{PolicySetBuilder, PolicyStore};

use super::{
    Case, Exchange, IssuerPlan, Key, Lifetime, PeerPlan, Proof, ScenarioError, Scenarios, Signature,
    Spelling, TokenPlan, unknown,
};
use ztlib_testing::{Authority, Events, Issued, LeafDraft, ManualClock, TokenIssuer, a_day};

/// Everybody who takes part, as real as it gets: keys and certificates are made when a cast is
/// made.
pub struct Cast<'s> {
    scenarios: &'s Scenarios,
    peers: BTreeMap<String, Issued>,
    issuers: BTreeMap<String, TokenIssuer>,
    tokens: BTreeMap<String, Vec<String>>,
    policies: BTreeMap<String, PolicyStore>,
    trust: Trust,
}

impl std::fmt::Debug for Cast<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cast")
            .field("peers", &self.peers.len())
            .field("tokens", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

impl<'s> Cast<'s> {
    /// Makes everybody, and compiles every policy set.
    ///
    /// # Errors
    /// What is described cannot be made.
    pub fn new(scenarios: &'s Scenarios) -> Result<Self, ScenarioError> {
        let people = &scenarios.people;
        let authorities = authorities(scenarios)?;
        let mut peers = BTreeMap::new();
        for (name, plan) in &people.peers {
            let authority =
                authorities.get(&plan.authority).ok_or_else(|| unknown("authority", &plan.authority))?;
            peers.insert(
                name.clone(),
                leaf(plan, authority.leaf()).map_err(|error| error.within(name))?.issue(),
            );
        }
        let mut issuers = BTreeMap::new();
        for (name, plan) in &people.issuers {
            issuers.insert(name.clone(), TokenIssuer::with_algorithm(&plan.name, algorithm(plan)?));
        }
        let mut tokens = BTreeMap::new();
        for (name, plan) in &people.tokens {
            tokens.insert(
                name.clone(),
                credentials(scenarios, &issuers, plan).map_err(|error| error.within(name))?,
            );
        }
        let mut policies = BTreeMap::new();
        for (name, set) in &scenarios.policies {
            let mut builder = PolicySetBuilder::new();
            for policy in &set.policies {
                builder = builder.component(&policy.name, &policy.component).reasons(&policy.reasons);
                if policy.may_abstain {
                    builder = builder.may_abstain();
                }
                if !policy.config.is_null() {
                    builder = builder.config(&policy.config);
                }
            }
            for (document, contents) in &set.documents {
                builder = builder.document(document, contents);
            }
            let loaded = builder
                .load()
                .map_err(|error| ScenarioError::because(&format!("policy set {name}"), &error))?;
            policies.insert(name.clone(), loaded);
        }
        let trust = trust(scenarios, &authorities)?;
        Ok(Self { scenarios, peers, issuers, tokens, policies, trust })
    }

    /// The scenarios that it plays.
    pub fn scenarios(&self) -> &'s Scenarios {
        self.scenarios
    }

    /// The moment at which everything happens, in seconds since 1970.
    pub fn now() -> u64 {
        a_day().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// Whom the services trust.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Who connects in this case; none where nobody shows a certificate.
    pub fn peer(&self, case: &Case) -> Option<&Issued> {
        self.peers.get(&case.peer)
    }

    /// What goes over the wire in this case.
    ///
    /// # Errors
    /// As [`Case::exchange`].
    pub fn exchange(&self, case: &Case) -> Result<Exchange, ScenarioError> {
        case.exchange(self.authorization(case))
    }

    /// The values of `authorization` in this case.
    pub fn authorization(&self, case: &Case) -> &[String] {
        self.tokens.get(&case.token).map_or(&[], Vec::as_slice)
    }

    /// The guard of a service, and where its audit events arrive. `foreign` says that the stack's
    /// acceptor is not ztlib's own.
    ///
    /// # Errors
    /// The service is not described, or its guard cannot be built.
    pub fn guard(&self, service: &str, foreign: bool) -> Result<(Guard, Events), ScenarioError> {
        let plan = self.scenarios.service(service)?;
        let policies =
            self.policies.get(&plan.policies).ok_or_else(|| unknown("policy set", &plan.policies))?;
        let mut peers = PeerAuthenticator::new(self.trust.clone());
        if foreign {
            peers = peers.trust_foreign_acceptor();
        }
        let builder = match plan.peers {
            Proof::Required => Guard::builder().peers(peers),
            Proof::Optional => Guard::builder().peers(peers.allow_unauthenticated()),
            Proof::NotAsked => Guard::builder().allow_unauthenticated_peers(),
        };
        let tokens = TokenAuthenticator::new(self.verifier()?);
        let builder = match plan.tokens {
            Proof::Required => builder.tokens(tokens),
            Proof::Optional => builder.tokens(tokens.allow_missing_token()),
            Proof::NotAsked => builder.allow_requests_without_token(),
        };
        let events = Events::new();
        let mut builder =
            builder.policies(policies.clone()).clock(ManualClock::new(a_day())).audit(events.clone());
        for route in &plan.public_routes {
            builder = builder.allow_public_route(route.as_str());
        }
        for route in &plan.encoded_slash_routes {
            builder = builder.allow_encoded_slash(route.as_str());
        }
        for spelling in &plan.path_spellings {
            builder = builder.allow_path_spelling(match spelling {
                Spelling::LowercaseEscapes => PathSpelling::LowercaseEscapes,
                Spelling::NeedlessEscapes => PathSpelling::NeedlessEscapes,
                Spelling::RawBracketsAndBars => PathSpelling::RawBracketsAndBars,
            });
        }
        if plan.observe_only {
            builder = builder.observe_only();
        }
        Ok((builder.build(), events))
    }

    fn verifier(&self) -> Result<TokenVerifier, ScenarioError> {
        let mut builder = TokenVerifier::builder();
        // The home issuer is the one that a verifier is given first.
        let mut plans: Vec<_> = self.scenarios.people.issuers.iter().collect();
        plans.sort_by_key(|(_, plan)| !plan.home);
        for (name, plan) in plans {
            let Some(signer) = self.issuers.get(name).filter(|_| !plan.untrusted) else { continue };
            let mut issuer = Issuer::new(&plan.name).algorithms([algorithm(plan)?]);
            for audience in &plan.audiences {
                issuer = issuer.audience(audience);
            }
            issuer = match signer.secret() {
                Some(secret) => issuer.hmac_secret(secret),
                None => issuer.keys(
                    KeySet::from_jwks(&signer.jwks())
                        .map_err(|error| ScenarioError::because(name, &error))?,
                ),
            };
            if let Some(types) = &plan.types {
                issuer = issuer.types(types.clone());
            }
            if let Some(seconds) = plan.max_lifetime {
                issuer = issuer.max_lifetime(Duration::from_secs(seconds));
            }
            if let Some(seconds) = plan.max_age {
                issuer = issuer.max_age(Duration::from_secs(seconds));
            }
            if let Some(seconds) = plan.leeway {
                issuer = issuer.leeway(Duration::from_secs(seconds));
            }
            for claim in &plan.required {
                issuer = issuer.require_claim(claim);
            }
            builder = builder.issuer(issuer);
        }
        builder.build().map_err(|error| ScenarioError::because("issuers", &error))
    }
}

/// Each after the one above it.
fn authorities(scenarios: &Scenarios) -> Result<BTreeMap<String, Authority>, ScenarioError> {
    let plans = &scenarios.people.authorities;
    let mut made: BTreeMap<String, Authority> = BTreeMap::new();
    while made.len() < plans.len() {
        let before = made.len();
        for (name, plan) in plans {
            let above = plan.below.as_ref().map(|above| made.get(above));
            if made.contains_key(name) || matches!(above, Some(None)) {
                continue;
            }
            let mut draft = Authority::draft(name);
            if let Some(id) = &plan.spiffe_id {
                draft = draft.spiffe(id);
            }
            if let Some(lifetime) = plan.lifetime {
                let (from, until) = moments(lifetime);
                draft = draft.valid_between(from, until);
            }
            let authority = match above.flatten() {
                Some(above) => draft.below(above),
                None => draft.root(),
            };
            made.insert(name.clone(), authority);
        }
        if made.len() == before {
            return Err(ScenarioError::new("the authorities stand below one another in a circle"));
        }
    }
    Ok(made)
}

fn trust(scenarios: &Scenarios, authorities: &BTreeMap<String, Authority>) -> Result<Trust, ScenarioError> {
    let wrong = |error: &dyn std::fmt::Display| ScenarioError::because("authorities", error);
    let mut trust = Trust::builder();
    for (name, plan) in &scenarios.people.authorities {
        let Some(authority) = authorities.get(name) else { continue };
        if let Some(domain) = &plan.trust_domain {
            let domain = domain.parse().map_err(|error| wrong(&error))?;
            trust = trust.trust(domain, [authority.certificate()]).map_err(|error| wrong(&error))?;
        }
        if let Some(own) = &plan.named {
            trust = trust.authority(own, [authority.certificate()]).map_err(|error| wrong(&error))?;
        }
    }
    trust.build().map_err(|error| wrong(&error))
}

fn leaf<'a>(plan: &PeerPlan, mut draft: LeafDraft<'a>) -> Result<LeafDraft<'a>, ScenarioError> {
    for uri in &plan.uris {
        draft = draft.spiffe(uri);
    }
    for name in &plan.dns {
        draft = draft.dns(name);
    }
    for mail in &plan.mails {
        draft = draft.mail(mail);
    }
    if let Some(name) = &plan.common_name {
        draft = draft.common_name(name);
    }
    if let Some(lifetime) = plan.lifetime {
        let (from, until) = moments(lifetime);
        draft = draft.valid_between(from, until);
    }
    draft = match plan.key {
        Key::P256 => draft,
        Key::P384 => draft.p384(),
        Key::Ed25519 => draft.ed25519(),
        Key::Rsa1024 => draft.rsa_1024(),
    };
    Ok(match plan.defect.as_deref() {
        None => draft,
        Some("leaf-is-ca") => draft.as_authority(),
        Some("leaf-signs-certificates") => draft.may_sign_certificates(),
        Some("leaf-signs-revocation-lists") => draft.may_sign_revocation_lists(),
        Some("key-usage-missing") => draft.without_key_usage(),
        Some("key-usage-not-critical") => draft.with_key_usage_not_critical(),
        Some("no-digital-signature") => draft.without_digital_signature(),
        Some("not-for-client-authentication") => draft.for_servers(),
        Some("unknown-critical-extension") => draft.with_unknown_critical_extension(),
        Some("serial-number") => draft.serial(&[0xff; 21]),
        Some(other) => return Err(unknown("defect", other)),
    })
}

fn moments(lifetime: Lifetime) -> (SystemTime, SystemTime) {
    let at = |seconds: i64| UNIX_EPOCH + Duration::from_secs(Cast::now().saturating_add_signed(seconds));
    (at(lifetime.from), at(lifetime.until))
}

fn algorithm(plan: &IssuerPlan) -> Result<Algorithm, ScenarioError> {
    match plan.algorithm.as_str() {
        "ES256" => Ok(Algorithm::ES256),
        "EdDSA" => Ok(Algorithm::EdDSA),
        "HS256" => Ok(Algorithm::HS256),
        other => Err(unknown("algorithm", other)),
    }
}

fn credentials(
    scenarios: &Scenarios,
    issuers: &BTreeMap<String, TokenIssuer>,
    plan: &TokenPlan,
) -> Result<Vec<String>, ScenarioError> {
    let Some(name) = &plan.issuer else { return Ok(plan.credentials("")) };
    let own = scenarios.people.issuers.get(name).ok_or_else(|| unknown("issuer", name))?;
    let signer = |name: &str| issuers.get(name).ok_or_else(|| unknown("issuer", name));
    let text = plan.signed_text(own, Cast::now());
    let mut signature = match &plan.signature {
        Signature::Right | Signature::Changed => signer(name)?.sign(text.as_bytes()),
        Signature::UnknownKey => TokenIssuer::with_algorithm(name, algorithm(own)?).sign(text.as_bytes()),
        Signature::Empty => Vec::new(),
        Signature::By(other) => signer(other)?.sign(text.as_bytes()),
    };
    if plan.signature == Signature::Changed
        && let Some(byte) = signature.first_mut()
    {
        *byte ^= 1;
    }
    Ok(plan.credentials(&format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
}
