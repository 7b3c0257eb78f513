// Roles for routes, in office hours, after a fresh login. What it is configured with, what it asks and what it says: ../README.md.
import { get, put, seal } from 'ztlib:policy/constants@0.1.2';
import { inWindow } from 'ztlib:policy/context@0.1.2';
import { challengeStepUp, copyToRequestHeader, message, reason } from 'ztlib:policy/outcome@0.1.2';
import { authenticatedWithin, claimContains, fromHomeIssuer } from 'ztlib:policy/principal@0.1.2';
import { route } from 'ztlib:policy/request@0.1.2';

const text = (value) => (typeof value === 'string' && value !== '' ? value : fail('a string is expected that is not empty'));
const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const TIME = '(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00';
const WINDOW = new RegExp(`^ *([a-z,-]+) +(${TIME})-(${TIME}) *$`);

function isWindow(window) {
  const [, days, from, to] = WINDOW.exec(window) ?? [];
  const runs = (item) => {
    const [first, last = first, ...more] = item.split('-').map((day) => DAYS.indexOf(day));
    return first >= 0 && first <= last && more.length === 0;
  };
  return days !== undefined && from < to && days.split(',').every(runs);
}

// A wrong schedule is refused here, and not a fault of each request.
const schedule = (value) =>
  text(value).length <= 2048 && value.split(';').every(isWindow) ? value : fail(`hours: \`${value}\` is no schedule, as in \`mon-fri 08:00-18:00\``);
const seconds = (value) => (Number.isInteger(value) && value >= 0 && value < 2 ** 32 ? value : fail('a whole number is expected'));
const roles = (value) =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
    ? Object.entries(value).map(([route, role]) => [route, text(role)])
    : fail('an object is expected');

// What each member of the configuration has to be. A member that is misspelt is an error and not a setting that is not there.
const MEMBERS = { hours: schedule, 'max-age': seconds, 'tenant-header': text, routes: roles };

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder('utf-8', { fatal: true });

// An error of the load: what is thrown as a string is the `err` of the contract's `result<_, string>`.
function fail(text) {
  throw text;
}

// A setting is a constant under its own name; the role that a route needs lies under "route " and the route's template.
const setAside = (key, value) => put(key, ENCODER.encode(value));

function constant(key) {
  const bytes = get(key);
  return bytes === undefined ? undefined : DECODER.decode(bytes);
}

function parse(config) {
  if (config.length === 0) fail('the policy needs a configuration: name one in the manifest');
  // The host has checked that it is JSON and that no member is there twice.
  const members = JSON.parse(DECODER.decode(config));
  if (members === null || typeof members !== 'object' || Array.isArray(members)) fail('an object is expected');
  for (const name of Object.keys(members)) {
    if (!Object.hasOwn(MEMBERS, name)) fail(`unknown member \`${name}\`; known are: ${Object.keys(MEMBERS).join(', ')}`);
  }
  return Object.entries(MEMBERS).map(([name, read]) => {
    if (!Object.hasOwn(members, name)) fail(`the member \`${name}\` is missing`);
    return [name, read(members[name])];
  });
}

function deny(code) {
  reason(code);
  return 'deny';
}

export const guard = {
  // Called once, when the policy is loaded.
  configure(config) {
    for (const [name, value] of parse(config)) {
      if (name === 'routes') value.forEach(([route, role]) => setAside(`route ${route}`, role));
      else setAside(name, `${value}`);
    }
    seal();
  },

  // Called for each question, in an instance that `configure` never saw.
  decide() {
    const template = route();
    const role = template === undefined ? undefined : constant(`route ${template}`);
    if (role === undefined) return deny('no-rule');
    // The roles of another issuer are other roles, whatever they are called.
    if (!fromHomeIssuer() || !claimContains('/roles', role)) {
      message(`this needs the role \`${role}\``);
      return deny('no-role');
    }
    const hours = constant('hours');
    if (!inWindow(hours)) {
      message(`open ${hours} (UTC)`);
      return deny('closed');
    }
    const maxAge = Number(constant('max-age'));
    if (!authenticatedWithin(maxAge)) {
      challengeStepUp(undefined, maxAge);
      return deny('login-too-old');
    }
    copyToRequestHeader(constant('tenant-header'), '{claim:/tenant}');
    return 'allow';
  },
};
