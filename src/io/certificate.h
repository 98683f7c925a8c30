/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Why a server's certificate was refused, and the remedy, in words for people. */

enum certificate_fault {
	CERTIFICATE_OTHER, /* none of the following */
	CERTIFICATE_UNKNOWN_AUTHORITY,
	CERTIFICATE_OTHER_NAME,
	CERTIFICATE_EXPIRED,
	CERTIFICATE_NOT_YET_VALID,
};

/* verify_result: X509_V_ERR_…, as SSL_get_verify_result() and CURLINFO_SSL_VERIFYRESULT give it. */
enum certificate_fault certificate_fault_of(long verify_result);
/* For a library that hands on OpenSSL's words alone. */
enum certificate_fault certificate_fault_in(const char *text);

struct certificate_place {
	const char *name;    /* of the server, as it was asked for */
	const char *address; /* the setting that holds this name: "cloud.url" */
	const char
		*authorities; /* the place of trusted certificates: "the file of cloud.ca_file" */
};
/* "its certificate has expired; …", to be freed; NULL for CERTIFICATE_OTHER. */
char *certificate_fault_text(enum certificate_fault fault, const struct certificate_place *place);
