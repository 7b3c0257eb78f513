#![doc = include_str!("../README.md")]
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ztlib_policy::config::{DnsName, NonEmpty, PeerPattern, Text, from_json};
use ztlib_policy::rules::{Covers, Rules};
use ztlib_policy::{Answer, Policy, Question, config_struct, constant_struct, export_policy};

/// No rule for the route names the peer, or there is no peer, or no rule covers the route.
pub const PEER_NOT_ALLOWED: &str = "peer-not-allowed";

constant_struct! {
    /// Which peers may call which routes.
    #[derive(Debug)]
    pub struct PeerAllowList {
        rules: Rules<Peers>,
    }
}

constant_struct! {
    #[derive(Debug)]
    struct Peers {
        /// Patterns of SPIFFE IDs.
        patterns: Vec<Box<str>>,
        named: Vec<Named>,
    }
}

constant_struct! {
    /// A peer without a SPIFFE ID. A name is worth what the authority behind it is worth: neither
    /// goes without the other.
    #[derive(Debug, PartialEq)]
    struct Named {
        authority: Box<str>,
        dns_name: Box<str>,
    }
}

impl Policy for PeerAllowList {
    fn configure(config: &[u8]) -> Result<Self, String> {
        let mut rules = Rules::new();
        for (at, rule) in from_json::<Config<'_>>(config)?.rules.into_iter().enumerate() {
            let place = |error: String| format!("rules[{at}]: {error}");
            let Rule { methods, routes, actions, patterns, named } = rule;
            if patterns.is_none() && named.is_none() {
                return Err(place("give `peers`, `named-peers` or both".to_string()));
            }
            let patterns =
                patterns.iter().flat_map(NonEmpty::as_slice).map(|pattern| pattern.as_str().into()).collect();
            let named: Vec<Named> = named
                .iter()
                .flat_map(NonEmpty::as_slice)
                .map(|peer| Named {
                    authority: peer.authority.as_str().into(),
                    dns_name: peer.dns_name.as_str().into(),
                })
                .collect();
            let is_twice = |(at, peer): &(usize, &Named)| named.iter().take(*at).any(|other| other == *peer);
            if let Some((_, twice)) = named.iter().enumerate().find(is_twice) {
                return Err(place(format!("named-peers: `{}` is there twice", twice.dns_name)));
            }
            let peers = Peers { patterns, named };
            rules.add(&Covers { methods, routes, actions }, &peers).map_err(place)?;
        }
        Ok(Self { rules })
    }

    /// One rule that names the peer is enough.
    fn decide(&self, question: &Question<'_>) -> Answer {
        let allowed = self.rules.find(question).any(|peers| {
            peers.patterns.iter().any(|pattern| question.peer_matches(pattern))
                || peers.named.iter().any(|peer| {
                    question.peer_authority().as_deref() == Some(&*peer.authority)
                        && question.peer_has_dns_name(&peer.dns_name)
                })
        });
        if allowed { Answer::Allow } else { question.deny(PEER_NOT_ALLOWED) }
    }
}

config_struct! {
    struct Config<'a> {
        rules: NonEmpty<Rule<'a>> = "rules",
    }
}

config_struct! {
    struct Rule<'a> {
        methods: Option<NonEmpty<Text<'a>>> = "methods",
        routes: Option<NonEmpty<Text<'a>>> = "routes",
        actions: Option<NonEmpty<Text<'a>>> = "actions",
        patterns: Option<NonEmpty<PeerPattern<'a>>> = "peers",
        named: Option<NonEmpty<NamedPeer<'a>>> = "named-peers",
    }
}

config_struct! {
    struct NamedPeer<'a> {
        authority: Text<'a> = "authority",
        dns_name: DnsName<'a> = "dns-name",
    }
}

export_policy!(PeerAllowList, sealed, no_std);
