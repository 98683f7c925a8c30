# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands about the cloud itself: zones, offerings, capabilities, accounts, jobs."""

from . import errors
from .command import Command, truth
from .lists import by_id, listed
from .world import stamp


def list_zones(call):
    rows = by_id(call, call.world.zones.values())
    if call.args.name:
        rows = [zone for zone in rows if zone.name.lower() == call.args.name.lower()]
    return listed(call, "zone", rows, call.rows.zone)


def list_disk_offerings(call):
    rows = by_id(call, call.world.offerings.values())
    if call.args.name:
        rows = [o for o in rows if o.name == call.args.name]
    return listed(call, "diskoffering", rows, call.rows.offering)


def list_capabilities(call):
    settings = call.sim.settings
    return {"capability": {
        "cloudstackversion": call.version.number,
        "customdiskofferingminsize": settings.min_size_gib,
        "customdiskofferingmaxsize": settings.max_size_gib,
        "allowusercreateprojects": True, "allowuserexpungerecovervm": True,
        "allowuserexpungerecovervolume": True, "allowuserviewalldomainaccounts": False,
        "allowuserviewdestroyedvm": True, "defaultuipagesize": 20, "dynamicrolesenabled": True,
        "kubernetesclusterexperimentalfeaturesenabled": False, "kubernetesserviceenabled": False,
        "kvmsnapshotenabled": settings.hypervisor == "KVM", "projectinviterequired": False,
        "regionsecondaryenabled": False, "securitygroupsenabled": False, "supportELB": "false",
        "userpublictemplateenabled": True}}


def list_apis(call):
    """The commands that the caller may use; all of them, or the one that is named."""
    name = call.args.name
    names = sorted(call.sim.api.allowed(call.account))
    if name is not None and name not in names:
        raise errors.no_api()
    return listed(call, "api", [name] if name else names, lambda name: {
        "name": name, "description": name, "isasync": call.sim.api.makes_job(name),
        "related": "", "params": [], "response": []})


def list_accounts(call):
    """The own account, also for an administrator, who sees others by `listall` or by their domain.
    A setting shows all accounts of the domain to all its users."""
    args, caller = call.args, call.account
    rows = [a for a in call.world.accounts.values() if not a.project and caller.may_use(a)]
    if call.sim.settings.view_all_accounts:
        rows = [a for a in call.world.accounts.values()
                if not a.project and a.domain is caller.domain]
    elif not (caller.admin and (args.domainid or truth(args.listall))):
        rows = [caller]
    if args.name:
        rows = [a for a in rows if a.name == args.name]
    if args.domainid:
        rows = [a for a in rows if a.domain.id == args.domainid]
    return listed(call, "account", rows, call.rows.account)


def list_projects(call):
    rows = [a for a in call.world.accounts.values()
            if a.project and call.account.may_use(a) and call.args.id in (None, a.project)]
    return listed(call, "project", rows, call.rows.project)


def list_hypervisor_capabilities(call):
    settings = call.sim.settings
    rows = [settings.hypervisor] if call.args.hypervisor in (None, settings.hypervisor) else []
    return listed(call, "hypervisorCapabilities", rows, lambda hypervisor: {
        "id": call.world.new_uuid(), "hypervisor": hypervisor, "hypervisorversion": "default",
        "maxguestslimit": 50, "maxdatavolumeslimit": settings.max_data_volumes,
        "securitygroupenabled": True, "storagemotionenabled": True, "vmsnapshotenabled": True})


def query_job(call):
    job = call.args.jobid
    if job is None and call.args.resourceid and call.version.newest_job:
        job = next((j for j in reversed(call.world.jobs.values())
                    if j.instance and j.instance[1] == call.args.resourceid), None)
        if job is None:
            raise errors.bad_value(call.name, "resourceid", call.args.resourceid)
    if job is None:
        raise errors.missing(call.name, "jobid")
    if not call.account.may_use(job.account):
        raise errors.denied(f"Account {call.account} is not authorized to see job id={job.number}")
    return call.rows.job(job, call.sim.jobs.poll(job))


def list_jobs(call):
    args, listall = call.args, truth(call.args.listall) and call.account.admin
    # Every job shown has been looked at, which is what a job made to linger counts.
    jobs = [j for j in list(call.world.pending.values())
            if (listall or j.account is call.account) and call.sim.jobs.poll(j)]
    if args.keyword:
        jobs = [j for j in jobs if args.keyword.lower() in j.cmd.lower()]
    if args.startdate:
        jobs = [j for j in jobs if stamp(j.created) >= args.startdate]
    return listed(call, "asyncjobs", jobs, lambda job: call.rows.job(job, pending=True))


_PAGES = ("page", "pagesize")

COMMANDS = {
    "listZones": Command(list_zones, lists=True, refs=(("id", "zones"),), numbers=_PAGES),
    "listDiskOfferings": Command(list_disk_offerings, lists=True, numbers=_PAGES,
                                 refs=(("id", "offerings"), ("zoneid", "zones"))),
    "listCapabilities": Command(list_capabilities),
    "listApis": Command(list_apis, lists=True),
    "listAccounts": Command(list_accounts, lists=True, numbers=_PAGES),
    "listProjects": Command(list_projects, lists=True, numbers=_PAGES),
    "listHypervisorCapabilities": Command(list_hypervisor_capabilities, lists=True,
                                          numbers=_PAGES, only_root=True),
    "queryAsyncJobResult": Command(query_job, refs=(("jobid", "jobs"),)),
    "listAsyncJobs": Command(list_jobs, lists=True, numbers=_PAGES),
}
