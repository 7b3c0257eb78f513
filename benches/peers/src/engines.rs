//! The peers, each set up as its own documentation recommends.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use casbin::{CoreApi as _, DefaultModel, Enforcer, MemoryAdapter, MgmtApi as _};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::vm::RegoVM;
use regorus::{CompiledPolicy, PolicyModule, Rc, Value};

use crate::Failure;
use crate::measure::now;
use crate::task::{Asked, Rule};

/// Something that decides.
pub trait Engine {
    /// Who it is, and in which form it was given the rules.
    fn name(&self) -> &'static str;

    /// Whether the request is allowed. What the engine wants to be given is made from the question
    /// each time, as a service would.
    ///
    /// # Errors
    /// No decision.
    fn decide(&mut self, asked: &Asked) -> Result<bool, Failure>;
}

/// All of them, with these rules.
///
/// # Errors
/// One cannot be set up.
pub fn all(rules: &[Rule]) -> Result<Vec<Box<dyn Engine>>, Failure> {
    Ok(vec![
        Box::new(Cedar::by_pattern(rules)?),
        Box::new(Cedar::by_action(rules)?),
        Box::new(Regorus::new(rules, Form::Scan)?),
        Box::new(Regorus::new(rules, Form::Object)?),
        Box::new(Regorus::new(rules, Form::ObjectAndPrefixes)?),
        Box::new(RegorusVm::new(rules, Form::Scan)?),
        Box::new(RegorusVm::new(rules, Form::Object)?),
        Box::new(RegorusVm::new(rules, Form::ObjectAndPrefixes)?),
        Box::new(Casbin::new(rules)?),
    ])
}

/// cedar-policy. Roles are groups of principals, as
/// <https://docs.cedarpolicy.com/bestpractices/bp-implementing-roles.html> recommends; the policy
/// scope is populated as far as it can be
/// (<https://docs.cedarpolicy.com/bestpractices/bp-populate-policy-scope.html>). The policy set is
/// parsed once and the entities of a request are made from the token's roles, without a schema.
pub struct Cedar {
    name: &'static str,
    authorizer: Authorizer,
    policies: PolicySet,
    by_action: bool,
    types: [EntityTypeName; 4],
}

impl Cedar {
    /// A rule is a pattern: `when { resource.route like "…" }`.
    ///
    /// # Errors
    /// A policy does not parse.
    pub fn by_pattern(rules: &[Rule]) -> Result<Self, Failure> {
        let policy = |Rule { role, below }: &Rule| {
            format!(
                "permit (principal in Role::\"{role}\", action == Action::\"GET\", resource) when {{ resource.route like \"{below}/*\" }};"
            )
        };
        Self::new("cedar-policy, a pattern a rule", rules.iter().map(policy).collect(), false)
    }

    /// A rule is one action of the business, as
    /// <https://docs.cedarpolicy.com/bestpractices/bp-overview.html> wants it: here what may be
    /// done below a path is an action of its own, and the whole rule stands in the scope. It is an
    /// easier task than the patterns of all others: the application has to know the action of each
    /// of its routes, which is not measured.
    ///
    /// # Errors
    /// A policy does not parse.
    pub fn by_action(rules: &[Rule]) -> Result<Self, Failure> {
        let policy = |Rule { role, below }: &Rule| {
            format!("permit (principal in Role::\"{role}\", action == Action::\"GET {below}\", resource);")
        };
        Self::new("cedar-policy, an action a rule", rules.iter().map(policy).collect(), true)
    }

    fn new(name: &'static str, policies: String, by_action: bool) -> Result<Self, Failure> {
        let types = ["User", "Role", "Action", "Route"].map(EntityTypeName::from_str);
        let [user, role, action, route] = types;
        Ok(Self {
            name,
            authorizer: Authorizer::new(),
            policies: PolicySet::from_str(&policies)?,
            by_action,
            types: [user?, role?, action?, route?],
        })
    }
}

impl Engine for Cedar {
    fn name(&self) -> &'static str {
        self.name
    }

    fn decide(&mut self, asked: &Asked) -> Result<bool, Failure> {
        let uid = |index: usize, id: &str| {
            EntityUid::from_type_name_and_id(self.types[index].clone(), EntityId::new(id))
        };
        let user = uid(0, "user-0");
        let roles: HashSet<EntityUid> = asked.roles.iter().map(|role| uid(1, role)).collect();
        let route = uid(3, "route");
        let mut entities: Vec<Entity> =
            roles.iter().map(|role| Entity::new_no_attrs(role.clone(), HashSet::new())).collect();
        entities.push(Entity::new_no_attrs(user.clone(), roles));
        let action = if self.by_action {
            // "/api/v7/users/{id}/items/{item}" is below "/api/v7/users": the lookup that an
            // application has in its code.
            let below = asked.route.split("/{").next().unwrap_or_default();
            uid(2, &format!("{} {below}", asked.method))
        } else {
            let path = RestrictedExpression::new_string(asked.route.clone());
            let attributes = HashMap::from([("route".to_owned(), path)]);
            entities.push(Entity::new(route.clone(), attributes, HashSet::new())?);
            uid(2, asked.method)
        };
        let entities = Entities::from_entities(entities, None)?;
        let request = Request::new(user, action, route, Context::empty(), None)?;
        let answer = self.authorizer.is_authorized(&request, &self.policies, &entities);
        Ok(answer.decision() == Decision::Allow)
    }
}

/// How Rego is given the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A list, gone through rule by rule, as they are written down. The path is compared by
    /// `startswith`: `glob.match` does the same and more, and takes longer.
    Scan,
    /// An object by method, path and role, as
    /// <https://www.openpolicyagent.org/docs/policy-performance> advises ("use objects over
    /// arrays"): each prefix of the path is looked up.
    Object,
    /// The same, and the application gives the prefixes of the path. It has to know how rules are
    /// found, and takes part of the work from the policy.
    ObjectAndPrefixes,
}

impl Form {
    fn policy(self) -> &'static str {
        match self {
            Self::Scan => {
                r#"
package rbac
import rego.v1

default allow := false

allow if {
    some rule in data.rules
    rule.method == input.method
    rule.role in input.roles
    startswith(input.route, rule.below)
}
"#
            }
            Self::Object => {
                r#"
package rbac
import rego.v1

default allow := false

allow if {
    parts := split(input.route, "/")
    some n, _ in parts
    n > 1
    above := concat("/", array.slice(parts, 0, n))
    some role in input.roles
    data.rules[input.method][above][role]
}
"#
            }
            Self::ObjectAndPrefixes => {
                r#"
package rbac
import rego.v1

default allow := false

allow if {
    some above in input.above
    some role in input.roles
    data.rules[input.method][above][role]
}
"#
            }
        }
    }

    fn data(self, rules: &[Rule]) -> serde_json::Value {
        if self == Self::Scan {
            let rules: Vec<_> = rules
                .iter()
                .map(|rule| serde_json::json!({ "role": rule.role, "method": "GET", "below": format!("{}/", rule.below) }))
                .collect();
            return serde_json::json!({ "rules": rules });
        }
        let mut paths = serde_json::Map::new();
        for rule in rules {
            let roles = paths.entry(rule.below.clone()).or_insert_with(|| serde_json::json!({}));
            if let Some(roles) = roles.as_object_mut() {
                roles.insert(rule.role.to_owned(), true.into());
            }
        }
        serde_json::json!({ "rules": { "GET": paths } })
    }

    fn input(self, asked: &Asked) -> Value {
        let mut input = Value::new_object();
        let roles: Vec<Value> = asked.roles.iter().map(|role| Value::from(*role)).collect();
        if let Ok(object) = input.as_object_mut() {
            object.insert("method".into(), asked.method.into());
            if self == Self::ObjectAndPrefixes {
                let slashes = asked.route.match_indices('/').skip(1);
                let above: Vec<Value> = slashes.map(|(at, _)| Value::from(&asked.route[..at])).collect();
                object.insert("above".into(), above.into());
            } else {
                object.insert("route".into(), asked.route.as_str().into());
            }
            object.insert("roles".into(), roles.into());
        }
        input
    }

    /// Compiled once, evaluated many times, as
    /// <https://docs.rs/regorus/0.14.1/regorus/struct.CompiledPolicy.html> describes; rules are
    /// data.
    fn compile(self, rules: &[Rule]) -> Result<(CompiledPolicy, Value), Failure> {
        let data = Value::from_json_str(&self.data(rules).to_string())?;
        let module = PolicyModule { id: "rbac.rego".into(), content: self.policy().into() };
        let policy =
            regorus::compile_policy_with_entrypoint(data.clone(), &[module], "data.rbac.allow".into())?;
        Ok((policy, data))
    }
}

/// regorus's interpreter.
#[derive(Debug)]
pub struct Regorus(CompiledPolicy, Form);

impl Regorus {
    /// With these rules as data.
    ///
    /// # Errors
    /// The policy does not compile.
    pub fn new(rules: &[Rule], form: Form) -> Result<Self, Failure> {
        Ok(Self(form.compile(rules)?.0, form))
    }
}

impl Engine for Regorus {
    fn name(&self) -> &'static str {
        match self.1 {
            Form::Scan => "regorus, interpreter, a scan",
            Form::Object => "regorus, interpreter, an object",
            Form::ObjectAndPrefixes => "regorus, interpreter, an object, prefixes given",
        }
    }

    fn decide(&mut self, asked: &Asked) -> Result<bool, Failure> {
        Ok(self.0.eval_with_input(self.1.input(asked))? == Value::from(true))
    }
}

/// regorus's virtual machine, kept from one request to the next.
pub struct RegorusVm(RegoVM, Form);

impl RegorusVm {
    /// With these rules as data.
    ///
    /// # Errors
    /// The policy does not compile.
    pub fn new(rules: &[Rule], form: Form) -> Result<Self, Failure> {
        let (policy, data) = form.compile(rules)?;
        let program = Compiler::compile_from_policy(&policy, &["data.rbac.allow"])?;
        let mut machine = RegoVM::new();
        // 2 000 rules take more than the 25 000 instructions of the default.
        machine.set_max_instructions(10_000_000);
        machine.load_program(Rc::clone(&program));
        machine.set_data(data)?;
        Ok(Self(machine, form))
    }
}

impl Engine for RegorusVm {
    fn name(&self) -> &'static str {
        match self.1 {
            Form::Scan => "regorus, virtual machine, a scan",
            Form::Object => "regorus, virtual machine, an object",
            Form::ObjectAndPrefixes => "regorus, virtual machine, an object, prefixes given",
        }
    }

    fn decide(&mut self, asked: &Asked) -> Result<bool, Failure> {
        self.0.set_input(self.1.input(asked));
        Ok(self.0.execute()? == Value::from(true))
    }
}

/// casbin. The RESTful model of its documentation (<https://casbin.org/docs/supported-models>),
/// with `keyMatch`, which is ten times faster than `keyMatch2` and enough here. Roles come with the
/// token, so each of them is asked for, the one that most rules are about first; `g` would want
/// every user of the company in the policy. Without its cache, which a change of nothing but the
/// policy empties.
pub struct Casbin {
    enforcer: Enforcer,
    /// The roles of the rules, the one with most of them first.
    roles: Vec<&'static str>,
}

const CASBIN_MODEL: &str = r#"
[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = r.sub == p.sub && r.act == p.act && keyMatch(r.obj, p.obj)
"#;

impl Casbin {
    /// With these rules.
    ///
    /// # Errors
    /// The model or a rule is not taken.
    pub fn new(rules: &[Rule]) -> Result<Self, Failure> {
        // Its futures never wait where adapter and model are in memory.
        let model = now(DefaultModel::from_str(CASBIN_MODEL))?;
        let mut enforcer = now(Enforcer::new(model, MemoryAdapter::default()))?;
        let line = |rule: &Rule| vec![rule.role.to_owned(), format!("{}/*", rule.below), "GET".to_owned()];
        now(enforcer.add_policies(rules.iter().map(line).collect()))?;
        let mut counts: HashMap<&'static str, usize> = HashMap::new();
        rules.iter().for_each(|rule| *counts.entry(rule.role).or_default() += 1);
        let mut roles: Vec<&'static str> = counts.keys().copied().collect();
        roles.sort_unstable_by_key(|role| (std::cmp::Reverse(counts.get(role).copied()), *role));
        Ok(Self { enforcer, roles })
    }
}

impl Engine for Casbin {
    fn name(&self) -> &'static str {
        "casbin, keyMatch"
    }

    fn decide(&mut self, asked: &Asked) -> Result<bool, Failure> {
        for role in self.roles.iter().filter(|role| asked.roles.contains(role)) {
            if self.enforcer.enforce((*role, asked.route.as_str(), asked.method))? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
