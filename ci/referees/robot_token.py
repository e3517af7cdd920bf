"""robot_token.py ADDRESS CA USER PASSWORD-FILE: log in with the official SDK and print the token."""

import sys
from pathlib import Path

import bosdyn.client

address, authority, user, password_file = sys.argv[1:]
sdk = bosdyn.client.create_standard_sdk("bench", cert_resource_glob=authority)
robot = sdk.create_robot(address)
robot.authenticate(user, Path(password_file).read_text())
print(robot.user_token)
