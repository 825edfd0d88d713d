"""Signs up, makes an event and books a slot with the client that was generated from the document."""

import datetime
import sys

from client import AuthenticatedClient, Client
from client.api.auth import register
from client.api.events import create_event, event
from client.api.open_slots import create_slot
from client.models import NewEvent, NewSlot, Registration, RegistrationRole

api, token_file = sys.argv[1:]
base = f"{api}/api/v1"


def sign_up(name, role):
    body = Registration(
        email=f"{name}@example.org", password=f"password of {name}", display_name=name, role=role
    )
    answer = register.sync(client=Client(base_url=base), body=body)
    return AuthenticatedClient(base_url=base, token=answer.access_token, raise_on_unexpected_status=True), answer


seller, _ = sign_up("zoe", RegistrationRole.BUSINESS)
customer, signed_in = sign_up("ann", RegistrationRole.USER)
latecomer, _ = sign_up("bob", RegistrationRole.USER)
begins = datetime.datetime(2031, 1, 1, 10, tzinfo=datetime.timezone.utc)
ends = begins + datetime.timedelta(hours=1)

made = create_event.sync(client=customer, body=NewEvent(title="Lunch", starts_at=begins, ends_at=ends))
found = event.sync(made.id, client=customer)
assert found.title == "Lunch", found

slot = create_slot.sync(client=seller, body=NewSlot(service="Haircut", starts_at=begins, ends_at=ends))
booked = create_event.sync(client=customer, body=NewEvent(slot_id=slot.id))
assert booked.title == "Haircut" and booked.slot_id == slot.id, booked
late = create_event.sync_detailed(client=latecomer, body=NewEvent(slot_id=slot.id))
assert late.status_code == 409, late

with open(token_file, "w", encoding="utf-8") as output:
    output.write(signed_in.access_token)
print(f"booked {slot.id} as {booked.id}")
