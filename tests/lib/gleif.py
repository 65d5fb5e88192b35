# SPDX-License-Identifier: Apache-2.0
"""Files as GLEIF and the US Trade Administration publish them, with their real column names and invented rows. As a program, a
level 1 file of any size:

    tests/lib/gleif.py ROWS DIR    lei.csv, rr.csv and repex.csv of ROWS entities, reproducible
"""
import csv
import os
import random
import string
import sys

LEI = ["LEI", "Entity.LegalName", "Entity.LegalName.xmllang", "Entity.LegalAddress.Country", "Entity.HeadquartersAddress.Country",
       "Entity.RegistrationAuthority.RegistrationAuthorityID", "Entity.RegistrationAuthority.RegistrationAuthorityEntityID",
       "Entity.LegalJurisdiction", "Entity.EntityCategory", "Entity.EntityStatus", "Registration.InitialRegistrationDate",
       "Registration.LastUpdateDate", "Registration.RegistrationStatus", "Registration.NextRenewalDate", "Registration.ManagingLOU",
       "ConformityFlag"]
RR = (["Relationship.StartNode.NodeID", "Relationship.StartNode.NodeIDType", "Relationship.EndNode.NodeID",
       "Relationship.EndNode.NodeIDType", "Relationship.RelationshipType", "Relationship.RelationshipStatus"]
      + [f"Relationship.Period.{n}.{f}" for n in range(1, 6) for f in ("startDate", "endDate", "periodType")]
      + [f"Relationship.Qualifiers.{n}.{f}" for n in range(1, 6) for f in ("QualifierDimension", "QualifierCategory")]
      + [f"Relationship.Quantifiers.{n}.{f}" for n in range(1, 6) for f in ("MeasurementMethod", "QuantifierAmount", "QuantifierUnits")]
      + ["Registration." + f for f in ("InitialRegistrationDate", "LastUpdateDate", "RegistrationStatus", "NextRenewalDate", "ManagingLOU",
                                       "ValidationSources", "ValidationDocuments", "ValidationReference")])
REPEX = ["LEI", "Exception.Category"] + [f"Exception.{f}.{n}" for f in ("Reason", "Reference") for n in range(1, 6)]
CSL = ["_id", "source", "entity_number", "type", "programs", "name", "title", "addresses", "federal_register_notice", "start_date", "end_date",
       "standard_order", "license_requirement", "license_policy", "call_sign", "vessel_type", "gross_tonnage", "gross_registered_tonnage",
       "vessel_flag", "vessel_owner", "remarks", "source_list_url", "alt_names", "citizenships", "dates_of_birth", "nationalities",
       "places_of_birth", "source_information_url", "ids"]
EL = "Entity List (EL) - Bureau of Industry and Security"
SDN = "Specially Designated Nationals (SDN) - Treasury Department"


def lei(n, lou="9999"):
    """The LEI with this number: ISO 17442, check digits by ISO 7064 MOD 97-10."""
    body = lou + "00" + f"{n:012d}"
    digits = "".join(str(int(c, 36)) for c in body + "00")
    return body + f"{98 - int(digits) % 97:02d}"


def entity(n, name, hq, **more):
    row = dict.fromkeys(LEI, "")
    row.update({"LEI": lei(n), "Entity.LegalName": name, "Entity.LegalAddress.Country": hq, "Entity.HeadquartersAddress.Country": hq,
                "Entity.LegalJurisdiction": hq, "Entity.EntityCategory": "GENERAL", "Entity.EntityStatus": "ACTIVE",
                "Registration.LastUpdateDate": "2026-03-01T08:00:00.000Z", "Registration.RegistrationStatus": "ISSUED",
                "ConformityFlag": "CONFORMING"})
    row.update(more)
    return row


def relation(child, parent, kind="IS_DIRECTLY_CONSOLIDATED_BY", start="", end="", **more):
    row = dict.fromkeys(RR, "")
    row.update({"Relationship.StartNode.NodeID": lei(child), "Relationship.StartNode.NodeIDType": "LEI",
                "Relationship.EndNode.NodeID": lei(parent), "Relationship.EndNode.NodeIDType": "LEI",
                "Relationship.RelationshipType": kind, "Relationship.RelationshipStatus": "ACTIVE",
                "Relationship.Period.1.startDate": "2025-01-01T00:00:00.000Z", "Relationship.Period.1.endDate": "2025-12-31T00:00:00.000Z",
                "Relationship.Period.1.periodType": "ACCOUNTING_PERIOD",
                "Relationship.Period.2.startDate": start, "Relationship.Period.2.endDate": end,
                "Relationship.Period.2.periodType": "RELATIONSHIP_PERIOD" if start or end else "",
                "Registration.LastUpdateDate": "2026-03-01T08:00:00.000Z", "Registration.RegistrationStatus": "PUBLISHED"})
    row.update(more)
    return row


def exception(n, reason, category="ULTIMATE_ACCOUNTING_CONSOLIDATION_PARENT"):
    row = dict.fromkeys(REPEX, "")
    row.update({"LEI": lei(n), "Exception.Category": category, "Exception.Reason.1": reason})
    return row


def listing(number, name, source=EL, **more):
    row = dict.fromkeys(CSL, "")
    row.update({"_id": f"{number:040x}", "source": source, "name": name, "start_date": "2024-05-14", "type": "Entity"})
    row.update(more)
    return row


def write(path, columns, rows):
    with open(path, "w", newline="", encoding="utf-8") as f:
        w = csv.DictWriter(f, columns, quoting=csv.QUOTE_ALL)
        w.writeheader()
        w.writerows(rows)
    return path


def many(rows, folder, seed=1):
    """Entities in trees of up to a dozen; a tenth of the tops says that it has no parent, a tenth that it tells nothing."""
    random.seed(seed)
    words = ["".join(random.choices(string.ascii_lowercase, k=random.randint(4, 9))).title() for _ in range(5000)]
    forms = ["GmbH", "Ltd.", "S.A.", "Inc.", "AB", "Oy", "Pte. Ltd.", "株式会社"]
    seats = ["US", "DE", "GB", "FR", "JP", "CN", "AE", "SG", "NL", "IE", "MO"]
    order = list(range(rows))
    random.shuffle(order)

    def entities():
        for n in order:
            yield entity(n, f"{random.choice(words)} {random.choice(words)} \"{n % 1000}\" {random.choice(forms)}", random.choice(seats),
                         **{"Entity.RegistrationAuthority.RegistrationAuthorityID": f"RA{n % 700:06d}",
                            "Entity.RegistrationAuthority.RegistrationAuthorityEntityID": f"HRB {n}"})

    def relations():
        for n in order:
            if n % 12:
                yield relation(n, n - 1 - n % 12 % 3 % max(n % 12, 1), start="2020-01-01T00:00:00.000Z")
    write(os.path.join(folder, "lei.csv"), LEI, entities())
    write(os.path.join(folder, "rr.csv"), RR, relations())
    write(os.path.join(folder, "repex.csv"), REPEX,
          (exception(n, "NO_KNOWN_PERSON" if n % 120 else "NON_PUBLIC") for n in order if n % 12 == 0 and n % 10 < 2))


if __name__ == "__main__":
    many(int(sys.argv[1]), sys.argv[2])
