namespace Hypervisor.Engine.Inventory;

/// <summary>Relative importance, with vSphere's names. What a level is worth depends on the resource.</summary>
public enum SharesLevel
{
    /// <summary>Half of normal.</summary>
    Low,
    /// <summary>What everything has unless said otherwise.</summary>
    Normal,
    /// <summary>Twice normal.</summary>
    High,
    /// <summary>A number of its own.</summary>
    Custom,
}
