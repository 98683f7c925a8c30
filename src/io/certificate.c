/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A client refuses a certificate for one of a few reasons, and each has a remedy of its own:
 * another file of authorities, another name, a new certificate, or another time on this machine's
 * clock. CloudStack, MariaDB and the NBD engine are reached through three libraries with the same
 * OpenSSL below. curl and our own handshakes tell OpenSSL's number; MariaDB's library tells
 * OpenSSL's words, which have been the same since OpenSSL 1.1, but for a hyphen.
 */

#include "io/certificate.h"

#include <openssl/x509_vfy.h>

#include "base/clock.h"
#include "base/util.h"

static const struct {
	enum certificate_fault fault;
	int verify_result;
	const char *words;
} faults[] = {
	{ CERTIFICATE_UNKNOWN_AUTHORITY, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
	  "unable to get issuer certificate" },
	{ CERTIFICATE_UNKNOWN_AUTHORITY, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
	  "unable to get local issuer certificate" },
	{ CERTIFICATE_UNKNOWN_AUTHORITY, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
	  "self-signed certificate" },
	{ CERTIFICATE_UNKNOWN_AUTHORITY, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
	  "self signed certificate" },
	{ CERTIFICATE_UNKNOWN_AUTHORITY, X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
	  "unable to verify the first certificate" },
	/* The authority's own key was replaced, and the old certificate has the same name. */
	{ CERTIFICATE_UNKNOWN_AUTHORITY, X509_V_ERR_CERT_SIGNATURE_FAILURE,
	  "certificate signature failure" },
	{ CERTIFICATE_OTHER_NAME, X509_V_ERR_HOSTNAME_MISMATCH, "ostname mismatch" },
	{ CERTIFICATE_OTHER_NAME, X509_V_ERR_IP_ADDRESS_MISMATCH, "IP address mismatch" },
	/* MariaDB's library compares the name itself, and has these words. */
	{ CERTIFICATE_OTHER_NAME, X509_V_ERR_HOSTNAME_MISMATCH,
	  "Validation of SSL server certificate failed" },
	{ CERTIFICATE_EXPIRED, X509_V_ERR_CERT_HAS_EXPIRED, "certificate has expired" },
	{ CERTIFICATE_NOT_YET_VALID, X509_V_ERR_CERT_NOT_YET_VALID,
	  "certificate is not yet valid" },
};

enum certificate_fault certificate_fault_of(long verify_result)
{
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		if (faults[i].verify_result == verify_result)
			return faults[i].fault;
	}
	return CERTIFICATE_OTHER;
}

enum certificate_fault certificate_fault_in(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		if (strstr(text, faults[i].words))
			return faults[i].fault;
	}
	return CERTIFICATE_OTHER;
}

char *certificate_fault_text(enum certificate_fault fault, const struct certificate_place *place)
{
	char now[TIME_TEXT_SIZE];

	time_format(clock_wall_ms(), now);
	switch (fault) {
	case CERTIFICATE_OTHER:
		return NULL;
	case CERTIFICATE_UNKNOWN_AUTHORITY:
		return xasprintf(
			"its certificate is signed by an authority that is not trusted here; put the "
			"certificate of the authority into %s",
			place->authorities);
	case CERTIFICATE_OTHER_NAME:
		return xasprintf(
			"its certificate is for another name than %s; use a name that stands in the "
			"certificate in %s, or give the server a certificate for this name",
			place->name, place->address);
	case CERTIFICATE_EXPIRED:
		return xasprintf(
			"its certificate has expired; renew it, or set this machine's clock if %s is "
			"not the time",
			now);
	case CERTIFICATE_NOT_YET_VALID:
		return xasprintf(
			"its certificate is not valid yet: this machine's clock says %s; if that is "
			"wrong, set the clock (timedatectl set-ntp true)",
			now);
	}
	return NULL;
}
