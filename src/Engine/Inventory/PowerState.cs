namespace Hypervisor.Engine.Inventory;

/// <summary>Power state of a machine, with vSphere's names and order.</summary>
public enum PowerState
{
    /// <summary>Off.</summary>
    PoweredOff,
    /// <summary>Running, in this process or in another.</summary>
    PoweredOn,
    /// <summary>Its state is on disk.</summary>
    Suspended,
}
