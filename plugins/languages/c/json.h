// A reader of JSON (RFC 8259) for configurations: objects, strings and whole numbers, in the order in which they stand.
//
// The host has checked that the text is JSON, in UTF-8, and that no member is there twice; whatever is not understood here is an error all the same.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "policy.h"

struct json {
    uint8_t *at, *end;
    // What is wrong; a null pointer where nothing is. After an error every function gives nothing.
    policy_string_t error;
};

// The beginning of an object. Then `json_member` gives the name of each member, whose value has to be read next, until it gives false.
bool json_object(struct json *json);
bool json_member(struct json *json, policy_string_t *name);

// A string that is not empty; it lies where the text lay.
policy_string_t json_text(struct json *json);

uint32_t json_number(struct json *json);

// Whether the text ends here, with nothing wrong in it.
bool json_end(struct json *json);

// Something is wrong with what was read; the first error stays.
void json_fail(struct json *json, policy_string_t error);

policy_string_t text(const char *literal);
bool equal(policy_string_t a, policy_string_t b);
policy_string_t join(policy_string_t a, policy_string_t b, policy_string_t c);
