//! The configuration, as it is written and as it is used.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Deserialize;
use ztlib_policy::config::{Members, NonEmpty, PeerPattern, Pointer, Text, from_json};
use ztlib_policy::rules::{Covers, Rules};

use crate::{Document, Rbac, Role};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config<'a> {
    #[serde(borrow)]
    roles: Sources<'a>,
    #[serde(borrow)]
    permissions: Members<'a, NonEmpty<Permission<'a>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sources<'a> {
    #[serde(borrow, default)]
    claims: Vec<Pointer<'a>>,
    #[serde(borrow)]
    groups: Option<Groups<'a>>,
    #[serde(borrow, default)]
    peers: Vec<Peers<'a>>,
    #[serde(borrow)]
    document: Option<DocumentSource<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Groups<'a> {
    #[serde(borrow)]
    claim: Pointer<'a>,
    #[serde(borrow)]
    roles: Members<'a, NonEmpty<Text<'a>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Peers<'a> {
    #[serde(borrow, rename = "match")]
    pattern: PeerPattern<'a>,
    #[serde(borrow)]
    roles: NonEmpty<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentSource<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    pointer: Pointer<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Permission<'a> {
    #[serde(borrow)]
    methods: Option<NonEmpty<Text<'a>>>,
    #[serde(borrow)]
    routes: Option<NonEmpty<Text<'a>>>,
    #[serde(borrow)]
    actions: Option<NonEmpty<Text<'a>>>,
}

pub(crate) fn read(config: &[u8]) -> Result<Rbac, String> {
    let Config { roles: sources, permissions: granted } = from_json::<Config<'_>>(config)?;
    if sources.claims.is_empty()
        && sources.groups.is_none()
        && sources.peers.is_empty()
        && sources.document.is_none()
    {
        return Err("roles: nobody has a role; give `claims`, `groups`, `peers` or `document`".to_string());
    }
    let mut roles: Vec<Role> = Vec::new();
    let mut permissions = Rules::new();
    for (name, list) in granted.0 {
        let number = roles.len() as u32;
        for (at, Permission { methods, routes, actions }) in list.into_iter().enumerate() {
            permissions
                .add(&Covers { methods, routes, actions }, number)
                .map_err(|error| format!("permissions.{}[{at}]: {error}", name.as_str()))?;
        }
        roles.push(Role { name: name.as_str().into(), ..Role::default() });
    }
    // A role without permissions is most likely misspelt.
    let find = |roles: &mut Vec<Role>, name: &Text<'_>, place: &str| {
        let found = roles.iter().position(|role| *role.name == *name.as_str());
        found.ok_or_else(|| format!("{place}: the role `{}` has no permissions", name.as_str()))
    };
    let mut group_claim: Box<str> = Box::default();
    if let Some(groups) = sources.groups {
        group_claim = groups.claim.as_str().into();
        for (group, names) in groups.roles.0 {
            for name in names {
                let number = find(&mut roles, &name, &format!("roles.groups.roles.{}", group.as_str()))?;
                if let Some(role) = roles.get_mut(number) {
                    role.groups.push(group.as_str().into());
                }
            }
        }
    }
    for (at, peers) in sources.peers.into_iter().enumerate() {
        for name in peers.roles {
            let number = find(&mut roles, &name, &format!("roles.peers[{at}]"))?;
            if let Some(role) = roles.get_mut(number) {
                role.peers.push(peers.pattern.as_str().into());
            }
        }
    }
    Ok(Rbac {
        claims: sources.claims.iter().map(|pointer| pointer.as_str().into()).collect(),
        group_claim,
        document: sources.document.map(|document| Document {
            name: document.name.as_str().into(),
            pointer: document.pointer.as_str().into(),
        }),
        roles,
        permissions,
    })
}
